-- Which generation a message was last worked under, what resolved an exception, and which entities heard from a message
-- (so that what a message mapped anew no longer states can be found).

ALTER TABLE message   ADD COLUMN generation TEXT;
ALTER TABLE exception ADD COLUMN resolution TEXT;
CREATE INDEX touched_message ON touched (message);
CREATE INDEX waiting_message ON waiting (message);
