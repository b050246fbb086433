"""Meshes of machines: a namespace for each, a cable for each pair of neighbours, bridges for shared segments.

Interfaces are named after the other end: `to3` leads to machine 3, `lan0` into segment 0. Names cannot collide, as each
lives in the namespace of its machine, and everything goes with the processes that hold the namespaces.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Sequence

from harness import Namespace, World


class Network:
    """Machines 0 to n - 1 and what joins them. Nothing on it has an IP address unless `ip` asks for IPv6."""

    def __init__(
        self,
        world: World,
        machines: int,
        cables: Iterable[tuple[int, int]] = (),
        segments: Sequence[Iterable[int]] = (),
        *,
        ip: bool = False,
    ) -> None:
        self.spaces: list[Namespace] = []
        self._interfaces: list[list[str]] = [[] for _ in range(machines)]
        for _ in range(machines):
            self.spaces.append(_machine(world, self.spaces[0] if self.spaces else None, ip=ip))
        for a, b in cables:
            self.plug(a, b)
            self._interfaces[a].append(f"to{b}")
            self._interfaces[b].append(f"to{a}")
        for number, members in enumerate(segments):
            switch = _machine(world, self.spaces[0], ip=False)
            switch.run("ip", "link", "add", "bridge", "type", "bridge")
            switch.run("ip", "link", "set", "bridge", "up")
            for member in members:
                self._join(self.spaces[member], f"lan{number}", switch, f"port{member}")
                switch.run("ip", "link", "set", f"port{member}", "master", "bridge")
                self._interfaces[member].append(f"lan{number}")

    def _join(self, left: Namespace, left_name: str, right: Namespace, right_name: str) -> None:
        names = ("name", left_name, "type", "veth", "peer", "name", right_name, "netns", str(right.pid))
        left.run("ip", "link", "add", *names)
        right.run("ip", "link", "set", right_name, "up")
        left.run("ip", "link", "set", left_name, "up")

    def __len__(self) -> int:
        return len(self.spaces)

    def interfaces(self, machine: int) -> list[str]:
        return self._interfaces[machine]

    def links(self, machine: int) -> list[str]:
        """Options of a program that uses every interface of its machine."""
        return [word for name in self._interfaces[machine] for word in ("--link", f"ethernet:{name}")]

    # -- what happens to cables ---------------------------------------------------------------------------------

    def plug(self, a: int, b: int) -> None:
        """A cable, with new interfaces at both ends."""
        self._join(self.spaces[a], f"to{b}", self.spaces[b], f"to{a}")

    def unplug(self, a: int, b: int) -> None:
        """The interfaces at both ends are gone."""
        self.spaces[a].run("ip", "link", "delete", f"to{b}")

    def set(self, machine: int, interface: str, state: str) -> None:
        """Sets an interface "up" or "down"."""
        self.spaces[machine].run("ip", "link", "set", interface, state)

    def drop(self, machine: int, interface: str, percent: int) -> None:
        """Loses so many percent of what arrives there. 100: silence, which no device tells of."""
        rule = "drop" if percent >= 100 else f"numgen random mod 100 < {percent} drop"
        chain = f"type filter hook ingress device {interface} priority 0;\n{rule}\n"
        table = f"table netdev loss-{interface} {{\nchain in {{\n{chain}}}\n}}\n"
        command = [*self.spaces[machine].enter(privileged=True), "nft", "-f", "-"]
        done = subprocess.run(command, input=table, capture_output=True, text=True)
        assert done.returncode == 0, f"{table}{done.stderr}"

    def busiest(self, machine: int, work: Callable[[], object]) -> str:
        """The interface on which the machine sends most while `work` goes on."""
        before = {name: self.counters(machine, name)[1] for name in self._interfaces[machine]}
        work()
        return max(before, key=lambda name: self.counters(machine, name)[1] - before[name])

    def at_the_end(self, interface: str) -> int:
        """The machine that a cable leads to."""
        return int(interface.removeprefix("to"))

    def counters(self, machine: int, interface: str) -> tuple[int, int]:
        """Bytes that the machine has received and sent there, in whole frames."""
        # Not from sysfs, which shows the interfaces of the namespace that it was mounted in.
        for line in self.spaces[machine].run("cat", "/proc/net/dev").splitlines():
            label, _, numbers = line.partition(":")
            if label.strip() == interface:
                values = numbers.split()
                return int(values[0]), int(values[8])
        raise AssertionError(f"machine {machine} has no {interface}")


def _machine(world: World, first: Namespace | None, *, ip: bool) -> Namespace:
    space = world.namespace(first)
    if ip:
        # Addresses are used at once, and the kernel asks nobody for a router.
        settings = ["all.forwarding=1", "default.accept_dad=0", "default.accept_ra=0", "default.router_solicitations=0"]
    else:
        settings = ["all.disable_ipv6=1", "default.disable_ipv6=1"]
    space.run("sysctl", "-q", "-w", *(f"net.ipv6.conf.{setting}" for setting in settings))
    return space


def chain(world: World, machines: int, *, ip: bool = False) -> Network:
    return Network(world, machines, [(n, n + 1) for n in range(machines - 1)], ip=ip)


def ring(world: World, machines: int, *, ip: bool = False) -> Network:
    return Network(world, machines, [(n, (n + 1) % machines) for n in range(machines)], ip=ip)


def grid(world: World, side: int, *, ip: bool = False) -> Network:
    """side * side machines, row by row."""
    across = [(n, n + 1) for n in range(side * side) if (n + 1) % side]
    down = [(n, n + side) for n in range(side * (side - 1))]
    return Network(world, side * side, across + down, ip=ip)


def segment(world: World, machines: int, *, ip: bool = False) -> Network:
    """All on one switch."""
    return Network(world, machines, segments=[range(machines)], ip=ip)
