package sessionimport

import (
	"cmp"
	"context"
	_ "embed" // for the statement
	"fmt"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/sessionstore/gorillastore"
)

//go:embed query/pgstore.sql
var pgstoreQuery string

// PGStoreConfig configures [PGStore].
type PGStoreConfig struct {
	// Table is the table of the old store, optionally with its schema. Defaults to "http_sessions".
	Table string
	// KeyPairs are those of the old store. gorillastore.Config.KeyPairs needs them, too.
	KeyPairs [][]byte
	// Names are the names of the program's sessions, because the table does not contain them.
	Names []string
	// Batch is how many rows are read at once. Defaults to DefaultBatch.
	Batch int
	// Since is when the first of several imports began. Sessions of users whose sessions were ended here since are not
	// imported. Defaults to the beginning of this one.
	Since time.Time
}

// PGStore imports the sessions of antonlindstrom/pgstore from a table in the database of a pool. It has to decode
// their values, so call it in a program that registers the same types with gob. An error ends it; another call
// continues.
func PGStore(ctx context.Context, from *pgxpool.Pool, to *gorillastore.Store, cfg *PGStoreConfig) (r Result, err error) {
	var c PGStoreConfig
	if cfg != nil {
		c = *cfg
	}
	if c.Batch, err = batch(c.Batch); err != nil {
		return r, err
	}
	if len(c.KeyPairs) == 0 {
		return r, fmt.Errorf("%w: KeyPairs: without them nothing decodes", ErrConfig)
	}
	if len(c.Names) == 0 {
		return r, fmt.Errorf("%w: Names: the data is signed together with the session's name", ErrConfig)
	}
	query, err := render(pgstoreQuery, "/*table*/http_sessions", cmp.Or(c.Table, "http_sessions"))
	if err != nil {
		return r, err
	}
	codecs := securecookie.CodecsFromPairs(c.KeyPairs...)
	for _, codec := range codecs {
		if cookie, ok := codec.(*securecookie.SecureCookie); ok {
			cookie.MaxAge(0).MaxLength(0) // the column says until when; and it is no cookie
		}
	}
	begun, err := to.BeginImport(ctx, c.Since)
	if err != nil {
		return r, fmt.Errorf("sessionimport: pgstore: %w", err)
	}

	type session struct {
		id, data string
		left     int64
	}
	for after := ""; ; {
		rows, err := from.Query(ctx, query, after, c.Batch)
		if err != nil {
			return r, fmt.Errorf("sessionimport: pgstore: %w", err)
		}
		page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s session, err error) {
			return s, row.Scan(&s.id, &s.data, &s.left)
		})
		if err != nil {
			return r, fmt.Errorf("sessionimport: pgstore: %w", err)
		}
		for _, s := range page {
			after = s.id
			if s.left <= 0 {
				r.Present++
				continue
			}
			name, values, ok := decode(s.data, c.Names, codecs)
			if !ok {
				r.Unreadable++
				continue
			}
			adopted, err := begun.Adopt(ctx, name, s.id, values, time.Duration(s.left)*time.Microsecond)
			if err := r.count(adopted, err); err != nil {
				return r, fmt.Errorf("sessionimport: pgstore: %w", err)
			}
		}
		if len(page) < c.Batch {
			return r, nil
		}
	}
}

// decode tries the names.
func decode(data string, names []string, codecs []securecookie.Codec) (name string, values map[any]any, ok bool) {
	for _, name := range names {
		values := map[any]any{}
		if securecookie.DecodeMulti(name, data, &values, codecs...) == nil {
			return name, values, true
		}
	}
	return "", nil, false
}
