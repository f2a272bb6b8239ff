"""Secrets in text that others may read: keys and passwords become `***`, in every form that engines print them.

Forms: arguments as typed, as a Python list and as argparse's Namespace (koboldcpp prints it at each start), settings
and environments as KEY=VALUE, Python or JSON, HTTP headers, URLs, tokens of known shape. What is known to be a secret
is hidden wherever it stands.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from itertools import pairwise
from urllib.parse import quote

MASK = "***"
# Flags of llama-server and koboldcpp whose value is a secret.
SECRET_FLAGS = frozenset({
    "--api-key", "--password", "--adminpassword", "--hordekey", "--hf-token", "-hft", "--agent-api-key",
})  # fmt: skip
# Flags and variables whose value is a secret: --api-key, --hordekey, -hft, KCPP_PASSWORD, LLAMA_API_KEY.
SECRET_NAME = re.compile(r"(?:(?:^|[-_]|api|horde)(?:key|token)|password|secret|^-hft)$", re.IGNORECASE)
SHORT = 8  # characters; a shorter secret may be an everyday word, and is hidden only where it stands alone

_FLAGS = "|".join(sorted(map(re.escape, SECRET_FLAGS), key=len, reverse=True))
_NAMES = (
    r"api[_-]?keys?|passw(?:or)?d|passphrase|secret(?:[_-]?key)?|hordekey|private[_-]?key|"
    r"(?:auth|access|hf|hub|bearer|refresh)[_-]?token"
)
_VARIABLE = r"\b[A-Z][A-Z0-9]{0,30}(?:_[A-Z0-9]{1,30}){0,6}_(?:KEY|TOKEN)"
_QUOTED = r"""(?P<quote>["'])(?:\\.|(?!(?P=quote)).)*(?:(?P=quote)|$)"""
_BARE = r"""(?!(?:None|null|none)\b)[^\s"'&)}\]<\[][^\s"'&)}\]]*"""
_VALUE = f"(?P<value>{_QUOTED}|{_BARE})"
# What stands in a text before each of the forms: most lines of a log hold none of it, and are done.
_SIGNS = (
    "key", "passw", "passphrase", "secret", "_token", "-token", "?token", "&token", "bearer", "authorization", "@",
    "hftoken", "hubtoken", "authtoken", "accesstoken", "refreshtoken", "hf_", "sk-", "ghp_", "gho_", "ghu_", "ghs_",
    "ghr_", "-hft",
)  # fmt: skip


@cache
def _forms() -> tuple[re.Pattern[str], ...]:
    """Compiled when a text may hold a secret: most runs see none."""
    return tuple(
        re.compile(pattern, flags)
        for pattern, flags in (
            (rf"""(?P<before>(?<![\w-])(?:{_FLAGS})["']?\s{{0,4}}[,=]?\s{{0,4}})(?!-){_VALUE}""", 0),
            (rf"""(?P<before>(?:{_NAMES})["']?\s{{0,4}}[:=]\s{{0,4}}){_VALUE}""", re.IGNORECASE),
            (rf"""(?P<before>{_VARIABLE}["']?\s?[:=]\s?){_VALUE}""", 0),
            (r"""(?P<before>authorization["']?\s{0,4}[:=]\s{0,4}["']?(?:\w{1,20}\s)?)(?P<value>[^\s"',]+)""", re.I),
            (r"""(?P<before>\bBearer\s{1,4})(?P<value>[\w.~+/=*-]+)""", re.IGNORECASE),
            (r"""(?P<before>://[^\s/:@]{0,100}:)(?P<value>[^\s/@]{1,300})(?=@)""", 0),
            (r"""(?P<before>[?&](?:key|token)=)(?P<value>[^\s&"']+)""", re.IGNORECASE),
            (r"""(?P<before>\b)(?P<value>hf_[A-Za-z0-9]{20,}|sk-[\w-]{20,}|gh[pousr]_[A-Za-z0-9]{30,})""", 0),
        )
    )


def masked(text: str) -> str:
    """`text` without the secrets that stand in it in a known form."""
    lowered = text.lower()
    if not any(sign in lowered for sign in _SIGNS):
        return text
    for form in _forms():
        text = form.sub(_hidden, text)
    return text


def masker(known: Collection[str] = ()) -> Callable[[str], str]:
    """A function like `masked` that hides the `known` secrets too, as they are and as programs quote them."""
    spelled = {form for secret in known for form in _spellings(secret)}
    if not spelled:
        return masked
    pattern = re.compile("|".join(map(_exactly, sorted(spelled, key=len, reverse=True))))

    def mask(text: str) -> str:
        return masked(pattern.sub(MASK, text) if any(secret in text for secret in spelled) else text)

    return mask


def masked_argv(argv: Sequence[str]) -> tuple[str, ...]:
    """`argv` with the values of secret flags masked, in both spellings (`--key X`, `--key=X`)."""
    shown, hide = [], False
    for word in argv:
        name, equals, _ = word.partition("=")
        shown.append(MASK if hide else f"{name}={MASK}" if equals and name in SECRET_FLAGS else word)
        hide = word in SECRET_FLAGS
    return tuple(shown)


def secrets_in(argv: Sequence[str]) -> frozenset[str]:
    """The values that `masked_argv` hides."""
    pairs = zip(argv, masked_argv(argv), strict=True)
    return frozenset(word.partition("=")[2] if shown != MASK else word for word, shown in pairs if word != shown)


def without_secrets(text: str, arguments: Iterable[str]) -> str:
    """`text` without the keys that stand in `arguments`: a command given to `check` may contain one."""
    words = [word for argument in arguments for word in re.split(r"[\s=\"']+", argument)]
    secrets = {value for flag, value in pairwise(words) if SECRET_NAME.search(flag) and not value.startswith("-")}
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return masked(text)


def _hidden(found: re.Match[str]) -> str:
    """The match with its value masked; quotes stay, an empty value too."""
    value = found["value"]
    mark = value[0] if value[0] in "\"'" else ""
    return found[0] if value in {'""', "''"} else f"{found['before']}{mark}{MASK}{mark}"


def _spellings(secret: str) -> set[str]:
    secret = secret.strip()
    return {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe="")} if secret else set()


def _exactly(secret: str) -> str:
    found = re.escape(secret)
    return found if len(secret) >= SHORT else rf"(?<!\w){found}(?!\w)"
