"""Types for signatures that Python and Pydantic do not have."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


def _four_or_six(values: list[int | float]) -> list[int | float]:
    if len(values) == 5:
        raise ValueError("a box has 4 numbers, or 6 with heights")
    return values


_TWO_OR_THREE_AXES: dict[str, Any] = {"oneOf": [{"minItems": 4, "maxItems": 4}, {"minItems": 6, "maxItems": 6}]}


class BoundingBox(BaseModel):
    """A box as the OGC standard writes it: ``{"bbox": [5.9, 45.8, 10.5, 47.8], "crs": "..."}``.

    bbox: the lower corner, then the upper one, each with 2 or 3 coordinates in the order of the axes of ``crs``.
        Neither the order of the corners nor the range of the coordinates is checked.
    crs: URI of the coordinate reference system; by default longitude and latitude in degrees, WGS 84.
    """

    model_config = ConfigDict(frozen=True, json_schema_extra={"format": "ogc-bbox", "description": "Bounding box."})

    bbox: Annotated[
        list[int | float],
        Field(min_length=4, max_length=6, json_schema_extra=_TWO_OR_THREE_AXES),
        AfterValidator(_four_or_six),
    ]
    crs: str = CRS84

    @property
    def lower(self) -> tuple[float, ...]:
        """The lower corner."""
        return tuple(self.bbox[: len(self.bbox) // 2])

    @property
    def upper(self) -> tuple[float, ...]:
        """The upper corner."""
        return tuple(self.bbox[len(self.bbox) // 2 :])
