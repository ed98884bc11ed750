"""Forms that a cleaned data set is written in, each the form that its source has; one form a file."""

from __future__ import annotations

from noiseproof.doctor.cleaning.forms import arrays, cvat, delimited, excel, folder, json_records, parquet
from noiseproof.doctor.cleaning.forms.base import Change, Edit, Form, Job, Move

__all__ = ["FORMS", "Change", "Edit", "Form", "Job", "Move", "form_of"]

#: The first whose test fits is taken.
FORMS: tuple[Form, ...] = (
    Form("folder", folder.accepts, folder.write),
    Form("arrays", arrays.accepts, arrays.write),
    Form("parquet", parquet.accepts, parquet.write),
    Form("excel", excel.accepts, excel.write),
    Form("json", json_records.accepts, json_records.write),
    Form("cvat", cvat.accepts, cvat.write),
    Form("table", delimited.accepts, delimited.write),
)


def form_of(job: Job) -> Form:
    """The form of a source.

    Raises:
        InputError: noiseproof reads it and cannot write it.
    """
    from noiseproof.errors import InputError

    for form in FORMS:
        if form.accepts(job.source):
            return form
    raise InputError(
        f"{job.source}: a cleaned copy is written of folders of class folders, CSV and TSV, JSON and JSON lines, "
        "parquet, Excel, .npz, Label Studio, COCO and CVAT; for this one use the decisions file in your own script"
    )
