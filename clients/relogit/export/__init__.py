"""Exports of a job's logits to the formats of other tools."""

from relogit.export.exporting import FORMATS, Exported, ExportedFile, Format, export_job

__all__ = ["FORMATS", "Exported", "ExportedFile", "Format", "export_job"]
