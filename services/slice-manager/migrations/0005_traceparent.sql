-- The span in which what is wanted of a resource was changed last, as traceparent of W3C Trace Context;
-- '': that was not traced. Whoever carries the change out continues its trace.
alter table resource add column traceparent text not null default '';
