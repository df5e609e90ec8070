-- Desired state of every cluster, slice, network and port, and what is known of it.

-- Revisions of all resources, so that a watch can resume after one number.
create sequence revision;

-- The next revision. The lock is held until the transaction ends, so that revisions become visible
-- in their order: else a watcher that has seen 8 could miss 7, which committed later.
-- Whoever calls this must have locked the rows it writes before (see store/transaction.rs), or two
-- transactions could wait for each other.
create function next_revision() returns bigint language plpgsql volatile as $$
begin
    perform pg_advisory_xact_lock(1, 'revision'::regclass::oid::int);
    return nextval('revision');
end
$$;

create table resource (
    uid uuid primary key,
    kind text collate "C" not null check (kind in ('cluster', 'slice', 'network', 'port')),
    -- Names of the parents, '' where the kind has none. They order and find a resource without a join.
    slice text collate "C" not null,
    network text collate "C" not null,
    name text collate "C" not null,
    parent uuid references resource (uid),
    generation bigint not null,
    revision bigint not null unique,
    create_time timestamptz not null,
    delete_time timestamptz,
    spec jsonb not null,
    status jsonb not null,
    -- Nothing is left to do for this generation: the safety net need not look at it.
    settled boolean not null default false,
    constraint resource_name unique (kind, slice, network, name),
    check ((slice <> '') = (kind in ('network', 'port'))),
    check ((network <> '') = (kind = 'port')),
    check ((parent is not null) = (kind in ('network', 'port')))
);

create index resource_by_revision on resource (kind, revision);
create index resource_by_parent on resource (parent) where parent is not null;
create index resource_unsettled on resource (kind) where not settled or delete_time is not null;
-- "Which slices and networks name this cluster?"
create index resource_by_reference on resource using gin (spec jsonb_path_ops) where kind in ('slice', 'network');
create index port_by_node on resource ((spec ->> 'cluster'), (spec ->> 'node')) where kind = 'port';

-- Whatever the order in which requests arrive, two ports never share one of these.
create unique index port_mac on resource (parent, (spec ->> 'mac')) where kind = 'port';
create unique index port_address on resource (parent, (spec ->> 'address')) where kind = 'port';
create unique index port_interface on resource
    ((spec ->> 'cluster'), (spec ->> 'node'), (spec #>> '{attachment,interface,name}')) where kind = 'port';
create unique index port_namespace on resource
    ((spec ->> 'cluster'), (spec ->> 'node'), (spec #>> '{attachment,namespace,path}'),
     (spec #>> '{attachment,namespace,interface_name}')) where kind = 'port';

-- Where something of a resource may exist downstream. A row is durable before the first call, and
-- goes when the downstream has confirmed that nothing is left; while there is one, the reference
-- keeps the resource's own row from going.
create table placement (
    owner uuid not null references resource (uid),
    target text collate "C" not null,
    object text collate "C" not null,
    primary key (owner, target, object)
);

create index placement_by_target on placement (target);

-- Resources that are gone, for watches that resume.
create table tombstone (
    revision bigint primary key,
    kind text collate "C" not null,
    slice text collate "C" not null,
    network text collate "C" not null,
    name text collate "C" not null,
    uid uuid not null,
    generation bigint not null,
    create_time timestamptz not null,
    delete_time timestamptz,
    gone_time timestamptz not null default now()
);

create index tombstone_by_revision on tombstone (kind, revision);
create index tombstone_by_age on tombstone (gone_time);

-- The highest revision of a pruned tombstone: a watch cannot resume from before it.
create table horizon (
    only_row boolean primary key default true check (only_row),
    revision bigint not null
);

insert into horizon (revision) values (0);

-- Answered requests that had an id.
create table request (
    id text primary key,
    digest bytea not null,
    -- Absent only inside the transaction that carries out the request.
    response jsonb,
    create_time timestamptz not null default now()
);

create index request_by_age on request (create_time);

-- Tells every replica which resource changed, and whether there is something to carry out.
create function notify_change() returns trigger language plpgsql as $$
declare
    changed resource := case when tg_op = 'DELETE' then old else new end;
    aspect text := 'intent';
begin
    if tg_op = 'UPDATE' and new.generation = old.generation
        and new.delete_time is not distinct from old.delete_time then
        aspect := 'status';
    end if;
    perform pg_notify('slice_manager',
        concat_ws('/', aspect, changed.kind, changed.slice, changed.network, changed.name));
    return null;
end
$$;

create trigger resource_changed after insert or update or delete on resource
    for each row execute function notify_change();
