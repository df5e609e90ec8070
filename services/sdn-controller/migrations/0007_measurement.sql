ALTER TABLE slice
    -- What is measured of its links: l2sces.measurement.v1.MeasurementPolicy, encoded. Null: nothing.
    ADD COLUMN measurement bytea;
