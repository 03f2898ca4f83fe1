"""What can be said of one instance of a group by itself. Pure. Called by the deciders of fleet and deployment."""

from homeport.model.fleet import Check, Instance, Run, State, Target


def carries(instance: Instance, *, balanced: bool) -> bool:
    """It does the group's work: gets requests, or for a group without targets, is in service."""
    if balanced:
        return instance.target is Target.READY
    return instance.state is State.IN_SERVICE


def served(instance: Instance) -> bool:
    """Its present generation has been in service."""
    at, since_at = instance.in_service_at, instance.started_at
    return instance.state is State.IN_SERVICE or (at is not None and (since_at is None or at >= since_at))


def usable(instance: Instance) -> bool:
    """It lives, or is between two generations: neither on its way out nor dead."""
    if instance.state in (State.TERMINATING_WAIT, State.TERMINATING, State.TERMINATED):
        return False
    return instance.run is not Run.STOPPED or instance.next_release is not None


def release_of(instance: Instance) -> int:
    """What it runs, or will run next."""
    return instance.release if instance.next_release is None else instance.next_release


def inheritable(instance: Instance) -> bool:
    """In service and not known to be sick: others are replaced by new ones, which must show that they can start."""
    in_service = instance.state is State.IN_SERVICE and instance.next_release is None
    return in_service and instance.check is not Check.UNHEALTHY


def age(instance: Instance) -> tuple[object, int, str]:
    """Sorts oldest first; ids of the same moment by their ordinal."""
    ordinal = instance.id.rpartition("-")[2]
    return (instance.created_at, int(ordinal) if ordinal.isdigit() else 0, instance.id)
