package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"

	"hedgerow"
)

// mayIn is the condition that user $1 has a role, or one that includes it, in
// fabric f. What a user may not see does not exist for them: the condition is
// part of every statement that finds a fabric on behalf of somebody.
func mayIn(need hedgerow.Role) string {
	var enough []string
	for _, r := range hedgerow.Roles {
		if r.Includes(need) {
			enough = append(enough, "'"+string(r)+"'") // constants, all of them
		}
	}
	roles := "(" + strings.Join(enough, ", ") + ")"
	return `(EXISTS (SELECT 1 FROM users u WHERE u.id = $1 AND u.role IN ` + roles + `)
		OR EXISTS (SELECT 1 FROM grants g WHERE g.user_id = $1 AND g.fabric_id = f.id AND g.role IN ` + roles + `))`
}

const fabricColumnsOf = `f.id, f.name, f.cluster, f.policy, f.suspended, f.version, f.created_at, f.updated_at`

// FabricsFor returns the fabrics that a user may see, by name.
func (db *DB) FabricsFor(ctx context.Context, user int64) (all []hedgerow.Fabric, err error) {
	err = each(ctx, db.read, func(r *sql.Rows) error {
		f, err := scanFabric(r.Scan)
		all = append(all, f)
		return err
	}, `SELECT `+fabricColumnsOf+` FROM fabrics f WHERE `+mayIn(hedgerow.Viewer)+` ORDER BY f.name`, user)
	return all, failed("read the fabrics", err)
}

// FabricFor returns a fabric in which a user has a role; CodeNotFound when
// there is none, or none for them.
func (db *DB) FabricFor(ctx context.Context, user, fabric int64, need hedgerow.Role) (hedgerow.Fabric, error) {
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	f, err := scanFabric(db.read.QueryRowContext(ctx, `SELECT `+fabricColumnsOf+` FROM fabrics f WHERE `+mayIn(need)+` AND f.id = $2`, user, fabric).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return f, hedgerow.Errorf(hedgerow.CodeNotFound, "there is no such fabric")
	}
	return f, failed("read a fabric", err)
}

// ObjectsPage returns present objects of a kind, by namespace and name.
func (db *DB) ObjectsPage(ctx context.Context, fabric int64, id hedgerow.KindID, q hedgerow.ObjectQuery) (all []hedgerow.Recorded, err error) {
	query, args := recordedQuery, []any{fabric, id.Group, id.Kind}
	if q.Text != "" {
		args = append(args, "%"+escapeLike(strings.ToLower(q.Text))+"%")
		query += ` AND (lower(o.name) LIKE $4 ESCAPE '\' OR lower(c.body) LIKE $4 ESCAPE '\')`
	}
	if q.AfterName != "" {
		n := len(args)
		args = append(args, q.AfterNamespace, q.AfterName)
		query += ` AND (o.namespace, o.name) > ($` + strconv.Itoa(n+1) + `, $` + strconv.Itoa(n+2) + `)`
	}
	args = append(args, q.Limit)
	err = each(ctx, db.read, func(r *sql.Rows) error {
		o, err := scanRecorded(r.Scan, id)
		all = append(all, o)
		return err
	}, query+` ORDER BY o.namespace, o.name LIMIT $`+strconv.Itoa(len(args)), args...)
	return all, failed("read the objects", err)
}

// Search returns the first present objects whose name or content holds text,
// in the fabrics that a user may see: those with it in their name first.
func (db *DB) Search(ctx context.Context, user int64, text string, limit int) (all []hedgerow.Found, err error) {
	like := "%" + escapeLike(strings.ToLower(text)) + "%"
	err = each(ctx, db.read, func(r *sql.Rows) error {
		var o hedgerow.Found
		err := r.Scan(&o.Fabric, &o.FabricName, &o.Group, &o.Kind, &o.Plural, &o.Namespace, &o.Name)
		all = append(all, o)
		return err
	}, `SELECT f.id, f.name, k.grp, k.kind, k.plural, o.namespace, o.name
		FROM fabrics f JOIN kinds k ON k.fabric_id = f.id JOIN objects o ON o.kind_id = k.id JOIN contents c ON c.digest = o.digest
		WHERE `+mayIn(hedgerow.Viewer)+` AND o.until IS NULL AND (lower(o.name) LIKE $2 ESCAPE '\' OR lower(c.body) LIKE $2 ESCAPE '\')
		ORDER BY CASE WHEN lower(o.name) LIKE $2 ESCAPE '\' THEN 0 ELSE 1 END, f.name, k.kind, o.namespace, o.name LIMIT $3`, user, like, limit)
	return all, failed("search the objects", err)
}
