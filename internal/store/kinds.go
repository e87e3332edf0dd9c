package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"slices"

	"hedgerow"
)

// Kinds returns the kinds recorded for a fabric, by group and kind, as its
// cluster served them.
func (db *DB) Kinds(ctx context.Context, fabric int64) (all []hedgerow.Kind, err error) {
	err = each(ctx, db.read, func(r *sql.Rows) error {
		var k hedgerow.Kind
		var short, cats, cols string
		var schema sql.NullString
		if err := r.Scan(&k.Group, &k.Kind, &k.Version, &k.Plural, &k.Singular, &short, &cats, &k.Namespaced, &cols, &k.ColumnsFrom, &k.Fingerprint, &schema); err != nil {
			return err
		}
		if schema.Valid {
			k.Schema = []byte(schema.String)
		}
		for text, into := range map[*string]any{&short: &k.ShortNames, &cats: &k.Categories, &cols: &k.Columns} {
			if err := json.Unmarshal([]byte(*text), into); err != nil {
				return err
			}
		}
		all = append(all, k)
		return nil
	}, `SELECT grp, kind, version, plural, singular, short_names, categories, namespaced, columns, columns_from, fingerprint, body
		FROM kinds LEFT JOIN contents ON contents.digest = kinds.schema WHERE fabric_id = $1 ORDER BY grp, kind`, fabric)
	return all, failed("read the kinds", err)
}

// kindIDs maps the kinds of a fabric to their ids.
func kindIDs(ctx context.Context, q querier, fabric int64) (map[hedgerow.KindID]int64, error) {
	ids := map[hedgerow.KindID]int64{}
	err := each(ctx, q, func(r *sql.Rows) error {
		var k hedgerow.KindID
		var id int64
		err := r.Scan(&k.Group, &k.Kind, &id)
		ids[k] = id
		return err
	}, `SELECT grp, kind, id FROM kinds WHERE fabric_id = $1`, fabric)
	return ids, err
}

// saveKinds writes the kinds that differ from what is recorded and reports
// whether there were any.
func (db *DB) saveKinds(ctx context.Context, tx *sql.Tx, fabric int64, ks, known []hedgerow.Kind) (changed bool, err error) {
	for _, k := range ks {
		if slices.ContainsFunc(known, func(o hedgerow.Kind) bool { return sameKind(o, k) }) {
			continue
		}
		changed = true
		short, err := list(k.ShortNames)
		if err != nil {
			return false, err
		}
		cats, err := list(k.Categories)
		if err != nil {
			return false, err
		}
		cols, err := list(k.Columns)
		if err != nil {
			return false, err
		}
		var schema []byte
		if k.Schema != nil {
			d := sha256.Sum256(k.Schema)
			schema = d[:]
			if _, err := tx.ExecContext(ctx, `INSERT INTO contents (digest, body) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING`, schema, string(k.Schema)); err != nil {
				return false, err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO kinds (fabric_id, grp, kind, version, plural, singular, short_names, categories, namespaced, columns, columns_from, schema, fingerprint)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
			ON CONFLICT (fabric_id, grp, kind) DO UPDATE SET version = excluded.version, plural = excluded.plural, singular = excluded.singular,
				short_names = excluded.short_names, categories = excluded.categories, namespaced = excluded.namespaced,
				columns = excluded.columns, columns_from = excluded.columns_from, schema = excluded.schema, fingerprint = excluded.fingerprint`,
			fabric, k.Group, k.Kind, k.Version, k.Plural, k.Singular, short, cats, k.Namespaced, cols, k.ColumnsFrom, schema, k.Fingerprint)
		if err != nil {
			return false, err
		}
	}
	return changed, nil
}

// sameKind compares what is stored of two kinds.
func sameKind(a, b hedgerow.Kind) bool {
	return a.ID() == b.ID() && a.Version == b.Version && a.Plural == b.Plural && a.Singular == b.Singular && a.Namespaced == b.Namespaced &&
		a.Fingerprint == b.Fingerprint && a.ColumnsFrom == b.ColumnsFrom && string(a.Schema) == string(b.Schema) &&
		slices.Equal(a.ShortNames, b.ShortNames) && slices.Equal(a.Categories, b.Categories) && slices.Equal(a.Columns, b.Columns)
}

// list encodes a list as JSON, nil as [].
func list[T any](v []T) (string, error) {
	if v == nil {
		v = []T{}
	}
	b, err := json.Marshal(v)
	return string(b), err
}
