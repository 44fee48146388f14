-- What a leased property falls back to; empty = it goes.
ALTER TABLE property ADD COLUMN fallback BLOB NOT NULL DEFAULT x'';
