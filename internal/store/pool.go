package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// PostgresPool is the pool type of the PostgreSQL driver, named here so that
// only this package imports the driver.
type PostgresPool = pgxpool.Pool

// queueConns are the connections of the queue: it listens on one, and its
// short statements share the others.
const queueConns = 4

func openPool(ctx context.Context, conf *pgx.ConnConfig) (*PostgresPool, error) {
	c, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, err
	}
	c.ConnConfig = conf.Copy()
	c.MaxConns = queueConns
	return pgxpool.NewWithConfig(ctx, c)
}
