"""The words that start something on a node: ssh's own program, keys and config; every word of ours is checked. Pure.

A tunnel is `ssh -tt -L`: without a terminal ssh sets no TCP_NODELAY, which costs 41 ms per token (measured with
`ssh -N -L`, reference/distributed.md). The tunnel's session runs the worker, so the two begin and end together.
"""

import re
from collections.abc import Sequence

from splitter.errors import UsageError
from splitter.rig.node_file import SavedNode
from splitter.rig.node_names import remote_path, split_destination

CONNECT_S, ALIVE_S, ALIVE_MISSED = 10, 5, 3
BEAT_S, SILENT_S = 5.0, 20
_WORD = re.compile(r"[A-Za-z0-9_.,:/=\\~+-]+", re.ASCII)
_OPTIONS = (
    "BatchMode=yes",  # never asks: no password, no unknown host key
    "StrictHostKeyChecking=yes",
    f"ConnectTimeout={CONNECT_S}",
    f"ServerAliveInterval={ALIVE_S}",
    f"ServerAliveCountMax={ALIVE_MISSED}",
    "ExitOnForwardFailure=yes",
    "ControlPath=none",  # a shared connection would outlive us, and forward nothing of its own
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "EscapeChar=none",
)


def ssh_argv(node: SavedNode, words: Sequence[str], *, forward: tuple[int, int] | None = None) -> tuple[str, ...]:
    """ssh that runs `words` on the node; with `forward` a port here leads to one on the node's loopback.

    UsageError for a word that a shell there could read as more than itself."""
    bad = [word for word in words if not _WORD.fullmatch(word)]
    if bad:
        raise UsageError(
            f"{bad[0]!r} cannot be told to a node", "use letters, digits and . _ - + / \\ : , without blanks"
        )
    host, port = split_destination(node.ssh)
    there = ("-p", str(port)) if port else ()
    options = tuple(part for option in _OPTIONS for part in ("-o", option))
    tunnel = ("-tt", "-L", f"127.0.0.1:{forward[0]}:127.0.0.1:{forward[1]}") if forward else ("-T",)
    return ("ssh", *options, *tunnel, *there, "--", host, *words)


def worker_words(node: SavedNode, cards: Sequence[str], port: int) -> tuple[str, ...]:
    """What runs on the node: `splitter worker`, or the engine's own worker where splitter is not there."""
    listed = ",".join(cards)
    if node.engine and not node.splitter:
        program = remote_path(node.engine)
        return (program, "-H", "127.0.0.1", "-p", str(port), "-c", "-d", listed)
    beaten = ("--port", str(port), "--cards", listed, "--while-asked", str(SILENT_S))
    return (*splitter_words(node), "worker", *beaten)


def splitter_words(node: SavedNode) -> tuple[str, ...]:
    """splitter's program on the node."""
    return (remote_path(node.splitter or "splitter"),)


PORT_TAKEN = "its worker's port is taken there"
_SAID = (
    ("is already used by", PORT_TAKEN, "`splitter node add NAME HOST --port N` with another port"),
    ("IDENTIFICATION HAS CHANGED", "its host key has changed",
     "make sure that it is the same machine; then `ssh-keygen -R HOST` and `ssh HOST` once"),
    ("Host key verification failed", "its host key is not known here", "run `ssh HOST` once and compare the key"),
    ("Permission denied", "it does not accept our key", "give it your public key: `ssh-copy-id HOST`"),
    ("Connection refused", "no ssh server answers there", "start it: sshd, or OpenSSH Server in Windows' settings"),
    ("Could not resolve hostname", "its name is not known here", "`splitter node add NAME me@ADDRESS`"),
    ("timed out", "it does not answer", "is it switched on, and reachable from here?"),
    ("No route to host", "it does not answer", "is it switched on, and reachable from here?"),
    ("Network is unreachable", "there is no network to it", "check the cable and the address"),
    ("not found", "splitter is not there", "install it, or name it: `splitter node add NAME HOST --splitter PATH`"),
    ("not recognized", "splitter is not there", "install it there, or name its path with --splitter"),
    ("No such file", "the program is not there", "name its path: `splitter node add NAME HOST --splitter PATH`"),
    ("forward", "the tunnel's port is taken here", "try again"),
    ("closed by remote host", "it closed the connection", "see its own log"),
    ("not responding", "it does not answer any more", "is the network up?"),
)  # fmt: skip


def blame(node: SavedNode, text: str) -> tuple[str, str]:
    """What went wrong, and what to do, from what ssh and the node said."""
    host = split_destination(node.ssh)[0]
    for sign, what, hint in _SAID:
        if sign.lower() in text.lower():
            return what, hint.replace("HOST", host).replace("NAME", node.name)
    return "it ended the connection", f"run `ssh {host}` to see what it says"
