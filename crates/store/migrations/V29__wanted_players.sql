-- A player who has just begun to play, of whom no match is known yet: theirs are asked for until then in any case.
-- docs/repair.md.
ALTER TABLE inquiry ADD COLUMN wanted_until timestamptz;

-- Who is erased is asked about no more.
CREATE FUNCTION inquiry_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM inquiry WHERE (source, kind, subject) = (OLD.source, 'players_matches', OLD.player_id);
  RETURN NULL;
END $$;
CREATE TRIGGER inquiry_erased AFTER UPDATE ON player FOR EACH ROW
  WHEN (NEW.player_id IS DISTINCT FROM OLD.player_id)
  EXECUTE FUNCTION inquiry_erased();
