-- Who manages a resource, as the client said that created it; '': nobody in particular.
alter table resource add column managed_by text not null default '';
