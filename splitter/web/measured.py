"""What the measuring pages show of the records."""

from collections.abc import Mapping
from typing import Any

from splitter.app.events import Silent
from splitter.app.questions import answered
from splitter.app.reporting import now
from splitter.bench.report.html_report import report_body
from splitter.units import format_rate
from splitter.web.drawing import drawn

SHOWN = 100
VERDICTS = {
    "same": "the same",
    "larger": "A is faster, by more than the noise",
    "smaller": "B is faster, by more than the noise",
    "not decided": "no larger than the noise",
}


class RecordPages:
    """Records as rows, as charts, and two of them side by side."""

    def rows(self) -> list[dict[str, Any]]:
        """The newest first."""
        answer = answered("bench/list", {"limit": SHOWN}, Silent())
        return [_row(record) for record in (answer["data"] or {"records": []})["records"]]

    def record(self, number: int) -> dict[str, Any]:
        """One with its group, as the report draws it. RecordsError where there is none."""
        from splitter.bench.records.records import Records
        from splitter.bench.report.of_records import report

        with Records() as kept:
            one = kept.get(number)
            found = kept.list(group=one.group) if one.group else (one,)
        made = report(found, now())
        return {"title": f"Measurement {number}", "lead": made.subtitle, "body": drawn(report_body(made))}

    def compared(self, first: int, second: int) -> dict[str, Any]:
        """Rows with their verdicts."""
        answer = answered("bench/compare", {"first": first, "second": second}, Silent())
        if answer["data"] is None:
            return {"error": answer["errors"][0]}
        rows = [
            {**point["shape"], "speed": name, **_ratio(point[name])}
            for point in answer["data"]["points"]
            for name in ("prompt", "generation")
        ]
        return {"rows": rows}


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": record["id"],
        "model": record["model"].get("name") or record["model"].get("path") or "?",
        "kind": record.get("kind"),
        "label": record.get("label") or "",
        "prompt": _middle(record, "prompt_tokens_per_s"),
        "generation": _middle(record, "generation_tokens_per_s"),
        "when": str(record.get("created_at"))[:16].replace("T", " "),
    }


def _ratio(ratio: Mapping[str, Any] | None) -> dict[str, str]:
    if not ratio or ratio.get("ratio") is None:
        return {"ratio": "?", "interval": "?", "verdict": "cannot be said"}
    low, high = ratio.get("low"), ratio.get("high")
    between = "?" if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return {"ratio": f"{ratio['ratio']:.3f}", "interval": between, "verdict": VERDICTS[ratio["verdict"]]}


def _middle(record: Mapping[str, Any], name: str) -> str:
    """The first point's median."""
    found = record["points"][0][name] if record["points"] else None
    return format_rate(found["median"] if isinstance(found, Mapping) else found, measured=True)
