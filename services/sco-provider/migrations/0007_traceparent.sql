-- The span in which an object was applied, or its deletion asked for, last, as traceparent of W3C Trace
-- Context; '': that was not traced. What is done about the object later, for another reason, is linked
-- to it.
ALTER TABLE gateway ADD COLUMN traceparent text NOT NULL DEFAULT '';
ALTER TABLE slice ADD COLUMN traceparent text NOT NULL DEFAULT '';
ALTER TABLE network ADD COLUMN traceparent text NOT NULL DEFAULT '';
ALTER TABLE endpoint ADD COLUMN traceparent text NOT NULL DEFAULT '';
