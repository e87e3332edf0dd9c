package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"hedgerow"
)

const fabricColumns = `id, name, cluster, policy, suspended, version, created_at, updated_at`

func scanFabric(scan func(...any) error) (f hedgerow.Fabric, err error) {
	var cluster sql.NullString
	var policy string
	var created, updated int64
	if err = scan(&f.ID, &f.Name, &cluster, &policy, &f.Suspended, &f.Version, &created, &updated); err != nil {
		return f, err
	}
	f.CreatedAt, f.UpdatedAt = fromMicros(created), fromMicros(updated)
	if err = json.Unmarshal([]byte(policy), &f.Policy); err == nil && cluster.Valid {
		f.Cluster = new(hedgerow.Cluster)
		err = json.Unmarshal([]byte(cluster.String), f.Cluster)
	}
	f.Policy = f.Policy.WithDefaults()
	return f, err
}

// Fabric returns the fabric of that name.
func (db *DB) Fabric(ctx context.Context, name string) (hedgerow.Fabric, error) {
	f, err := scanFabric(db.read.QueryRowContext(ctx, `SELECT `+fabricColumns+` FROM fabrics WHERE name = $1`, name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return f, db.noFabric(ctx, name)
	}
	return f, failed("read fabric "+name, err)
}

// FabricByID returns the fabric of that number.
func (db *DB) FabricByID(ctx context.Context, id int64) (hedgerow.Fabric, error) {
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	f, err := scanFabric(db.read.QueryRowContext(ctx, `SELECT `+fabricColumns+` FROM fabrics WHERE id = $1`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return f, hedgerow.Errorf(hedgerow.CodeNotFound, "fabric %d has been removed", id)
	}
	return f, failed("read a fabric", err)
}

func (db *DB) noFabric(ctx context.Context, name string) error {
	e := hedgerow.Errorf(hedgerow.CodeNotFound, "there is no fabric %q", name)
	all, err := db.Fabrics(ctx)
	if err != nil || len(all) == 0 {
		return e.WithHint("Add one: hedgerow fabric add NAME --kubeconfig FILE")
	}
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = f.Name
	}
	return e.WithHint("There are: %s", strings.Join(names, ", "))
}

// Fabrics returns every fabric, by name.
func (db *DB) Fabrics(ctx context.Context) (all []hedgerow.Fabric, err error) {
	err = each(ctx, db.read, func(r *sql.Rows) error {
		f, err := scanFabric(r.Scan)
		all = append(all, f)
		return err
	}, `SELECT `+fabricColumns+` FROM fabrics ORDER BY name`)
	return all, failed("read the fabrics", err)
}

// AddFabric records a new fabric with its credential, and returns it with its
// id.
func (db *DB) AddFabric(ctx context.Context, f hedgerow.Fabric, cred hedgerow.Secret, now time.Time) (hedgerow.Fabric, error) {
	if err := hedgerow.ValidFabricName(f.Name); err != nil {
		return f, err
	}
	cluster, policy, err := encodeFabric(f)
	if err != nil {
		return f, err
	}
	err = db.tx(ctx, "add fabric "+f.Name, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `INSERT INTO fabrics (name, cluster, policy, suspended, version, created_at, updated_at)
			VALUES ($1, $2, $3, $4, 0, $5, $5) ON CONFLICT (name) DO NOTHING RETURNING id`,
			f.Name, cluster, policy, f.Suspended, micros(now)).Scan(&f.ID)
		if errors.Is(err, sql.ErrNoRows) {
			return hedgerow.Errorf(hedgerow.CodeExists, "there is a fabric %q already", f.Name).WithHint("Choose another name, or change it: hedgerow fabric edit %s", f.Name)
		}
		if err != nil {
			return err
		}
		if err := saveSchedule(ctx, tx, f.ID, dueNow(f, now)); err != nil {
			return err
		}
		if err := db.announce(ctx, tx, f.ID); err != nil || cred.IsZero() {
			return err
		}
		return db.seal(ctx, tx, clusterSecret(f.ID), sql.NullInt64{Int64: f.ID, Valid: true}, cred, now)
	})
	f.CreatedAt, f.UpdatedAt = now, now
	return f, err
}

// dueNow is the schedule of a fabric of which nothing is known yet.
func dueNow(f hedgerow.Fabric, now time.Time) (s hedgerow.Schedule) {
	if f.Policy.WithDefaults().Interval > 0 {
		s.Next = now
	}
	return s
}

// UpdateFabric changes a fabric's cluster, policy and suspension, and its
// credential when one is given. Whatever changed may have mended what was
// wrong: the fabric is due at once, and its failures are forgotten.
func (db *DB) UpdateFabric(ctx context.Context, f hedgerow.Fabric, cred *hedgerow.Secret, now time.Time) error {
	cluster, policy, err := encodeFabric(f)
	if err != nil {
		return err
	}
	return db.tx(ctx, "change fabric "+f.Name, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE fabrics SET cluster = $1, policy = $2, suspended = $3, updated_at = $4 WHERE id = $5`,
			cluster, policy, f.Suspended, micros(now), f.ID)
		if err == nil {
			err = one(res, "fabric "+f.Name)
		}
		if err != nil {
			return err
		}
		if err := saveSchedule(ctx, tx, f.ID, dueNow(f, now)); err != nil {
			return err
		}
		if err := db.announce(ctx, tx, f.ID); err != nil || cred == nil {
			return err
		}
		return db.seal(ctx, tx, clusterSecret(f.ID), sql.NullInt64{Int64: f.ID, Valid: true}, *cred, now)
	})
}

func encodeFabric(f hedgerow.Fabric) (cluster sql.NullString, policy string, err error) {
	if f.Cluster != nil {
		b, err := json.Marshal(f.Cluster)
		if err != nil {
			return cluster, "", err
		}
		cluster = sql.NullString{String: string(b), Valid: true}
	}
	b, err := json.Marshal(f.Policy)
	return cluster, string(b), err
}

// one fails unless a statement reached its one row.
func one(res sql.Result, what string) error {
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return hedgerow.Errorf(hedgerow.CodeNotFound, "%s has been removed", what)
}

// RemoveFabric deletes a fabric and everything recorded of it. It fails with
// CodeBusy while a run is under way.
func (db *DB) RemoveFabric(ctx context.Context, id int64) error {
	lock, err := db.dialect.lock(ctx, fabricLocks, id)
	if err != nil {
		return failed("lock the fabric", err)
	}
	if lock == nil {
		return hedgerow.Errorf(hedgerow.CodeBusy, "a run of the fabric is under way").WithHint("Try again when it has ended.")
	}
	defer lock.unlock()
	return db.txWithin(ctx, long, "remove the fabric", func(tx *sql.Tx) error {
		// Another fabric's run may be about to refer to a content that looks
		// unused from here.
		if err := db.alone(ctx, tx, "contents"); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM fabrics WHERE id = $1`, id)
		if err == nil {
			err = one(res, "the fabric")
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM contents WHERE digest IN (
			SELECT digest FROM contents EXCEPT SELECT digest FROM objects EXCEPT SELECT digest FROM history EXCEPT SELECT schema FROM kinds)`)
		return err
	})
}

// Credential returns what a fabric signs in to its cluster with, zero when
// there is none.
func (db *DB) Credential(ctx context.Context, fabric int64) (hedgerow.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	s, _, err := db.unseal(ctx, db.read, clusterSecret(fabric))
	return s, failed("read the credential", err)
}
