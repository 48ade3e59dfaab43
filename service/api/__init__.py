"""HTTP: routes, schemas, and what each error means to a caller. FastAPI and pydantic stop here."""
