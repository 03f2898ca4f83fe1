"""[groups] `after` and `run = ["*"]`, [processes]: what they come to, and every mistake in them."""

import pytest

from homeport.errors import Invalid
from homeport.model.platform import ProcessType, Resolved
from homeport.plan import platform, procfile
from homeport.plan.order import circle, stages

PROCFILE = procfile.parse("web: serve\ncache: keep\nworker: work\nclock: tick\nrelease: migrate")
TOP = 'app = "shop"\n'


def resolve(text: str, *, app: str = "shop", environment: str = "staging") -> Resolved:
    return platform.resolve(platform.parse(text), environment=environment, app=app, procfile=PROCFILE)


def mistakes(text: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        resolve(text)
    return [each.partition(": ")[2] for each in caught.value.details]


def order(text: str, **fields: str) -> dict[str, tuple[str, ...]]:
    return {each.name: each.after for each in resolve(text, **fields).groups}


def run(text: str) -> dict[str, tuple[str, ...]]:
    return {each.name: each.run for each in resolve(text).groups}


def test_groups_come_after_others() -> None:
    text = TOP + '[groups.web]\n[groups.worker]\nafter = ["web"]\n[groups.clock]\nafter = ["shop/web", "worker"]'
    assert order(text) == {"web": (), "worker": ("web",), "clock": ("web", "worker")}


def test_an_environment_may_say_otherwise_also_of_groups_that_nobody_wrote_down() -> None:
    text = TOP + '[environments.staging]\ngroups.worker.after = ["web"]\n[environments.other]'
    assert order(text)["worker"] == ("web",)
    assert order(text, environment="other")["worker"] == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[groups.web]\nafter = ["wbe"]', 'groups.web.after: no group "wbe", did you mean "web"?'),
        ('[groups.web]\nafter = ["db"]', 'groups.web.after: no group "db"; there is web'),
        ('[groups.web]\nafter = ["web"]', "groups.web.after: a circle: web → web"),
        (
            '[groups.web]\nafter = ["clock"]\n[groups.worker]\nafter = ["web"]\n[groups.clock]\nafter = ["worker"]',
            "groups.web.after: a circle: web → clock → worker → web",
        ),
        ('[groups.web]\nafter = "clock"', 'groups.web.after: expected an array such as ["web"], found "clock"'),
        ('[groups.web]\nafter = ["blog/web"]', 'groups.web.after: blog/web: no app "blog"; there is shop'),
        ('[processes.wbe]\nstop = "x"', 'processes.wbe: no process type "wbe" in the Procfile, did you mean "web"?'),
        (
            '[processes.web]\nafter = ["cahe"]',
            'processes.web.after: no process type "cahe" in the Procfile, did you mean "cache"?',
        ),
        (
            '[processes.web]\nafter = ["cache"]\n[processes.cache]\nafter = ["web"]',
            "processes.web.after: a circle: web → cache → web",
        ),
        (
            '[processes.release]\nafter = ["web"]',
            "processes.release: the release task runs once in each deployment: nothing comes after it, and nobody "
            "stops it",
        ),
        ('[processes.web]\nstop_signal = "QIUT"', 'found "QIUT", did you mean "QUIT"?'),
        ('[processes.web]\nstop = ""', 'processes.web.stop: expected a text such as "bin/finish $PID", found ""'),
        ("[processes.web]\nstopp = 1", 'processes.web.stopp: unknown key, did you mean "stop"?'),
        (
            '[groups.web]\n[groups.back]\nrun = ["*"]\n[groups.rest]\nrun = ["*"]',
            'groups.rest.run: "*" is in the run of back already: one group takes what is left',
        ),
        (
            '[groups.a]\nrun = ["web", "cache", "worker", "clock"]\n[groups.back]\nrun = ["*"]',
            'groups.back.run: nothing is left for "*": every process type is named by a group',
        ),
    ],
)
def test_mistakes(text: str, said: str) -> None:
    (found,) = mistakes(TOP + text)
    assert found.endswith(said)


def test_a_circle_by_way_of_process_types() -> None:
    text = '[processes.web]\nafter = ["cache"]\n[processes.worker]\nafter = ["clock"]\n'
    text += '[groups.one]\nrun = ["web", "clock"]\n[groups.two]\nrun = ["cache", "worker"]'
    assert mistakes(TOP + text) == ["groups.one.after: a circle: one → two → one"]


def test_groups_of_another_app_cant_be_waited_for() -> None:
    text = (
        'platform = "shops"\n[apps.shop]\n[apps.shop.groups.web]\nafter = ["blog/web"]\n[apps.blog]\nsource = "../blog"'
    )
    text += "\n[processes.web]"
    assert mistakes(text) == [
        "apps.shop.groups.web.after: blog/web: each app is deployed by itself, so a group can only come after one of "
        "its own app",
        "processes.web: a process type belongs to an app: [apps.shop.processes.web]",
    ]


def test_process_types() -> None:
    text = TOP + '[processes.web]\nafter = ["cache"]\n[processes.cache]\nstop = "save"\nstop_signal = "INT"'
    assert resolve(text).types == {
        "web": ProcessType(after=("cache",)),
        "cache": ProcessType(stop="save", stop_signal="INT"),
    }


def test_what_a_process_type_needs_is_waited_for_wherever_it_runs() -> None:
    text = TOP + '[processes.web]\nafter = ["cache"]\n'
    together, apart = '[groups.web]\nrun = ["web", "cache"]', "[groups.web]\n[groups.cache]"
    assert order(text + together) == {"web": ()}
    assert order(text + apart) == {"web": ("cache",), "cache": ()}
    assert order(text)["web"] == ("cache",)


def test_one_line_takes_a_process_type_out_of_the_rest() -> None:
    text = TOP + '[groups.web]\n[groups.back]\nrun = ["*"]'
    assert run(text) == {"web": ("web",), "back": ("cache", "worker", "clock")}
    assert run(text + "\n[groups.clock]") == {"web": ("web",), "back": ("cache", "worker"), "clock": ("clock",)}
    assert platform.unused_processes(platform.parse(text), PROCFILE) == ()
    alone = resolve(TOP + '[groups.all]\nrun = ["*"]')
    assert (alone.groups[0].balanced, alone.routes[0].to) == (True, "all")


def test_stages_and_circles() -> None:
    after = {"a": ["b", "elsewhere"], "b": [], "c": ["a", "b"], "d": ["b"]}
    assert stages(after) == {"a": 1, "b": 0, "c": 2, "d": 1}
    assert circle(after) == ()
    assert circle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ("b", "c", "b")
    with pytest.raises(ValueError, match="b → c → b"):
        stages({"a": ["b"], "b": ["c"], "c": ["b"]})
