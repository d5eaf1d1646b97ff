"""The points of judgement, one module each: `TITLE`, `SECONDS` (a whole run is cut off after that),
`play(stage, report)`."""
