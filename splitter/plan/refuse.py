"""Why nothing fits, and the nearest thing that does."""

from splitter.errors import DoesNotFitError
from splitter.plan.task import Task


def does_not_fit(task: Task, context_size: int) -> DoesNotFitError:
    """The error for a task that has no plan at `context_size` tokens."""
    wishes = ", ".join(f"{name}={value}" for name, value in task.fixed.items())
    asked = f" with {wishes}" if wishes else ""
    return DoesNotFitError(
        f"{task.scene.facts.name} does not fit {task.scene.rig.name} at {context_size} tokens{asked}",
        "try a shorter context, a smaller quantisation, or fix less",
    )
