package sessionimport

import (
	"cmp"
	"context"
	_ "embed" // for the statement
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
)

//go:embed query/scs.sql
var scsQuery string

// SCSConfig configures [SCS]. A nil or zero SCSConfig uses the defaults.
type SCSConfig struct {
	// Table is the table of the old store, optionally with its schema. Defaults to "sessions".
	Table string
	// Hashed says that the table contains hashes, because the manager's HashTokenInStore was set. Defaults to false.
	Hashed bool
	// Batch is how many rows are read at once. Defaults to DefaultBatch.
	Batch int
	// Since is when the first of several imports began. Sessions of users whose sessions were ended here since are not
	// imported. Defaults to the beginning of this one.
	Since time.Time
}

// SCS imports the sessions of scs's pgxstore or postgresstore from a table in the database of a pool. It has to
// decode their values, so call it in a program that registers the same types with gob, or has set the same Codec
// before scsstore.New. An error ends it; another call continues. A nil cfg uses the defaults.
func SCS(ctx context.Context, from *pgxpool.Pool, to *scsstore.Store, cfg *SCSConfig) (r Result, err error) {
	var c SCSConfig
	if cfg != nil {
		c = *cfg
	}
	if c.Batch, err = batch(c.Batch); err != nil {
		return r, err
	}
	query, err := render(scsQuery, "/*table*/sessions", cmp.Or(c.Table, "sessions"))
	if err != nil {
		return r, err
	}
	begun, err := to.BeginImport(ctx, c.Since)
	if err != nil {
		return r, fmt.Errorf("sessionimport: scs: %w", err)
	}

	type session struct {
		token string
		data  []byte
	}
	for after := ""; ; {
		rows, err := from.Query(ctx, query, after, c.Batch)
		if err != nil {
			return r, fmt.Errorf("sessionimport: scs: %w", err)
		}
		page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s session, err error) {
			return s, row.Scan(&s.token, &s.data)
		})
		if err != nil {
			return r, fmt.Errorf("sessionimport: scs: %w", err)
		}
		for _, s := range page {
			after = s.token
			adopted, err := begun.Adopt(ctx, s.token, c.Hashed, s.data)
			if err := r.count(adopted, err); err != nil {
				return r, fmt.Errorf("sessionimport: scs: %w", err)
			}
		}
		if len(page) < c.Batch {
			return r, nil
		}
	}
}

// count sorts one outcome; what is no outcome of one session is returned.
func (r *Result) count(adopted bool, err error) error {
	switch {
	case err == nil && adopted:
		r.Imported++
	case err == nil:
		r.Present++
	case errors.Is(err, sessionstore.ErrTooLarge), errors.Is(err, sessionstore.ErrLimit), errors.Is(err, sessionstore.ErrMalformed),
		errors.Is(err, sessionstore.ErrInvalid):
		r.Refused++
	case errors.Is(err, sessionstore.ErrUnreadable):
		r.Unreadable++
	case errors.Is(err, sessionstore.ErrNoSession), errors.Is(err, sessionstore.ErrLoginEnded):
		r.Present++ // it was ended at this moment
	default:
		return err
	}

	return nil
}
