"""The Windows Task Scheduler task of a plan, as `schtasks /Create /XML` wants it: UTF-16 with a byte order mark. Pure.

Runs the engine itself, as the systemd unit does. The elements stand in the order in which Windows exports them
(Microsoft Learn, "Task Scheduler Schema": RegistrationInfo, Triggers, Principals, Settings, Actions). A task has no
variables of its own, so cmd.exe sets them.
"""

import re
from xml.sax.saxutils import escape

from splitter.engine.command import EngineCommand
from splitter.engine.rendering import cmd_line
from splitter.errors import UsageError
from splitter.plan.plan import Plan
from splitter.script.header import header_lines
from splitter.script.located import WINDOWS_PATH, named_paths

NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
LONGEST_LINE = 8191  # of cmd.exe
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SETTINGS = """    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <Hidden>true</Hidden>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>5</Count>
    </RestartOnFailure>"""


def render_task(plan: Plan, command: EngineCommand, name: str, remake: str) -> bytes:
    """The task `name`. UsageError for what cmd.exe cannot carry, and for files without their full Windows paths."""
    _check_paths(plan, command)
    arguments = f'--headless cmd.exe /d /v:off /s /c "{cmd_line(command)}"'
    if len(arguments) > LONGEST_LINE:
        raise UsageError(f"the command has {len(arguments)} characters, cmd.exe takes {LONGEST_LINE}", "shorten paths")
    register = f'Register: schtasks /Create /TN "splitter {name}" /XML {name}.xml  (in an administrator\'s prompt)'
    about = "\n".join((*header_lines(plan, command, remake), register))
    text = f"""<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="{NAMESPACE}">
  <RegistrationInfo>
    <Description>{_text(about)}</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <Enabled>true</Enabled>
    </LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
{SETTINGS}
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>conhost.exe</Command>
      <Arguments>{_text(arguments)}</Arguments>
    </Exec>
  </Actions>
</Task>
"""
    return text.replace("\n", "\r\n").encode("utf-16")


def _text(text: str) -> str:
    """`text` as an element's content, with control and format characters as references; what XML cannot hold becomes
    U+FFFD."""
    kept = escape(NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))
    return "".join(c if c.isprintable() or c in "\r\n" else f"&#x{ord(c):x};" for c in kept)


def _check_paths(plan: Plan, command: EngineCommand) -> None:
    engine = (command.engine.path,) if command.engine.path else ()  # else it is found on that machine's PATH
    for path in (*engine, *named_paths(plan, command)):
        if not WINDOWS_PATH.match(path):
            raise UsageError(f"a Windows task needs the full path of {path}", "name a file that is on this machine")
