"""What every engine must do of one-off processes: part of `contract`."""

from homeport.model.action import EndTask, RunTask
from homeport.model.fleet import Observation
from homeport.testing.step import prepare, run
from homeport.testing.world import APP, BAD_TASK, GOOD, World


class TaskContract:
    def test_task_runs_once(self, world: World) -> None:
        prepare(world, GOOD)
        task = RunTask(app=APP, task="t-1", release=GOOD, command="true")
        run(world, task)
        run(world, task)
        seen = world.until(lambda each: [t.exit_code for t in each.tasks] == [0])
        assert len(seen.tasks) == 1

    def test_task_that_fails(self, world: World) -> None:
        prepare(world, BAD_TASK)
        command = world.release(BAD_TASK).resolved.release_task
        assert command is not None
        run(world, RunTask(app=APP, task="t-2", release=BAD_TASK, command=command))
        world.until(lambda each: [t.exit_code for t in each.tasks] == [7])
        for by_force in (False, True):
            run(world, EndTask(app=APP, task="t-2", by_force=by_force))
        (ended,) = world.engine.observe(world.place.id).tasks
        assert (ended.exit_code, ended.interrupted) == (7, False)

    def test_a_task_ends_before_its_time(self, world: World) -> None:
        prepare(world, GOOD)
        run(world, EndTask(app=APP, task="t-3"))
        run(world, RunTask(app=APP, task="t-3", release=GOOD, command="trap '' TERM; sleep 300 & wait; sleep 300"))
        run(world, EndTask(app=APP, task="t-3"))
        (told,) = world.engine.observe(world.place.id).tasks
        assert told.stop_at is not None
        run(world, EndTask(app=APP, task="t-3"))

        def killed(seen: Observation) -> bool:
            run(world, EndTask(app=APP, task="t-3", by_force=True))
            return seen.tasks[0].ended

        (ended,) = world.until(killed).tasks
        assert (ended.interrupted, ended.stop_at) == (True, told.stop_at)
        run(world, EndTask(app=APP, task="t-3", by_force=True))
