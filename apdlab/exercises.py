"""Exercises of the notebooks: a question, a folded hint and answer, and a check of what the reader found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Verdict(NamedTuple):
    """What a check says. It is true or false like the answer, and a notebook shows its text."""

    right: bool
    text: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Exercise:
    """Something to try, in Markdown, and a function that knows what is wrong with an answer.

    Args:
        question: What to do or find.
        hint: A first step.
        answer: The solution and why.
        fault: Takes the reader's value; returns None if it is right, else one line on what is off.

    Example:
        >>> half = Exercise("What is $1/4 + 1/4$?", "Draw it.", "$1/2$", lambda x: None if x == 0.5 else "Too large.")
        >>> half.check(0.7)
        Not yet: Too large.
        >>> bool(half.check(0.5))
        True
    """

    question: str
    hint: str
    answer: str
    fault: Callable[..., str | None]

    def check(self, *value: Any) -> Verdict:
        """Judge what the reader found; end a cell with it to read the verdict.

        A value of a wrong kind is a wrong answer, not a traceback.
        """
        try:
            fault = self.fault(*value)
        except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            return Verdict(False, f"Not yet: this is not the kind of value that is asked for ({reason})")
        return Verdict(True, "Right!") if fault is None else Verdict(False, f"Not yet: {fault}")


def markdown(exercise: Exercise) -> str:
    """Write an exercise as Markdown with folded hint and answer, which Lab, GitHub and exported HTML all fold.

    Example:
        >>> print(markdown(Exercise("Why?", "Think.", "Because.", lambda x: None)))
        **Try this.** Why?
        <BLANKLINE>
        <details><summary>Hint</summary>
        <BLANKLINE>
        Think.
        <BLANKLINE>
        </details>
        <BLANKLINE>
        <details><summary>Answer</summary>
        <BLANKLINE>
        Because.
        <BLANKLINE>
        </details>
    """
    folded = (
        f"<details><summary>{name}</summary>\n\n{text.strip()}\n\n</details>"
        for name, text in (("Hint", exercise.hint), ("Answer", exercise.answer))
    )
    return "\n\n".join([f"**Try this.** {exercise.question.strip()}", *folded])


def show(exercise: Exercise) -> None:
    """Show an exercise in a notebook."""
    from IPython.display import Markdown, display

    display(Markdown(markdown(exercise)))
