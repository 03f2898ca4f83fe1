"""What resolvers ask a cloud for, from a table that a test fills. Used by `testing.cloudformation`."""

from collections.abc import Callable, Mapping, Sequence

from homeport.errors import NotFound
from homeport.model.secret import Secret


class FakeLookup:
    """Finds what `FakeCloud.values` holds. Implements `ports.lookup.Lookup`."""

    def __init__(self, values: Mapping[str, str | Secret], arrive: Callable[[str], None]) -> None:
        self.values = values
        self._arrive = arrive

    def _find(self, what: str) -> str | Secret:
        self._arrive(f"lookup {what}")
        if what not in self.values:
            raise NotFound(f"no {what}")
        return self.values[what]

    def _text(self, what: str) -> str:
        found = self._find(what)
        return found.reveal() if isinstance(found, Secret) else found

    def parameter(self, name: str) -> str | Secret:
        return self._find(f"parameter {name}")

    def secret(self, id: str, key: str = "") -> Secret:
        return Secret(self._text(f"secret {id} {key}".strip()))

    def latest_image(self, owners: Sequence[str], filters: Mapping[str, Sequence[str]]) -> str:
        said = " ".join(f"{key}={','.join(values)}" for key, values in filters.items())
        return self._text(f"image of {','.join(owners)} {said}".strip())

    def latest_container(self, repository: str, tag: str = "", registry: str = "") -> str:
        return self._text(f"container {repository} {tag}".strip())

    def security_group(self, name: str, vpc: str = "") -> str:
        return self._text(f"security group {name}")

    def topic(self, name: str) -> str:
        return self._text(f"topic {name}")

    def certificate(self, domain: str) -> str:
        return self._text(f"certificate {domain}")

    def vpc(self, tags: Mapping[str, str]) -> str:
        return self._text("vpc " + " ".join(f"{key}={value}" for key, value in tags.items()))

    def subnets(self, tags: Mapping[str, str], vpc: str = "") -> Sequence[str]:
        return self._text("subnets " + " ".join(f"{key}={value}" for key, value in tags.items())).split(",")
