-- Says which revision a change made, so that a replica tells itself of none of its own a second time.
create or replace function notify_change() returns trigger language plpgsql as $$
declare
    changed resource := case when tg_op = 'DELETE' then old else new end;
    aspect text := 'intent';
begin
    -- Of what is gone there is nothing left to carry out.
    if tg_op = 'DELETE' or tg_op = 'UPDATE' and new.generation = old.generation
        and new.delete_time is not distinct from old.delete_time then
        aspect := 'status';
    end if;
    -- What is gone has no revision but that of its last change.
    perform pg_notify('slice_manager',
        concat_ws('/', aspect, changed.kind, changed.slice, changed.network, changed.name,
            case when tg_op = 'DELETE' then 0 else changed.revision end));
    return null;
end
$$;
