package databasesql

import (
	"context"
	"database/sql"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// MemberKey is the key of the table members, of two columns.
type MemberKey struct{ Team, Person string }

// Members is a cache of a table that anybody writes to: other programs, other languages, psql. Triggers name the keys.
type Members struct {
	db    *sql.DB
	roles *cache.Cache[MemberKey, string]
}

// NewMembers puts triggers on the table, which costs nothing but a look if they are there, and a cache in front of it.
// KeyString writes a key as the triggers do, by the columns in the order of Watch.Key.
func NewMembers(ctx context.Context, b *bus.Postgres, db *sql.DB) (*Members, error) {
	if err := b.WatchTable(ctx, bus.Watch{Table: "members", Topic: "members", Key: []string{"team", "person"}}); err != nil {
		return nil, err
	}

	m := &Members{db: db}
	var err error
	m.roles, err = cache.New(b, "members", cache.Func(m.load), &cache.Config[MemberKey, string]{
		KeyString: func(k MemberKey) string { return bus.KeyOf(k.Team, k.Person) },
		ParseKey:  parseMemberKey,
	})
	return m, err
}

// parseMemberKey is the inverse of KeyString. It spares the cache the text of each key.
func parseMemberKey(text string) (k MemberKey, err error) {
	parts, err := bus.ParseKey(text, 2)
	if err != nil {
		return k, err
	}
	return MemberKey{parts[0], parts[1]}, nil
}

func (m *Members) load(ctx context.Context, k MemberKey) (role string, err error) {
	err = m.db.QueryRowContext(ctx, "SELECT role FROM members WHERE team = $1 AND person = $2", k.Team, k.Person).Scan(&role)
	return role, err
}

// Role reads from the cache.
func (m *Members) Role(ctx context.Context, k MemberKey) (string, error) { return m.roles.Get(ctx, k) }

// SetRole writes past the cache, like everybody else. The triggers' event takes until the next sweep, for this process as
// for all others; Forget drops the key here at once, so that the writer reads what it wrote.
func (m *Members) SetRole(ctx context.Context, k MemberKey, role string) error {
	_, err := m.db.ExecContext(ctx, "UPDATE members SET role = $1 WHERE team = $2 AND person = $3", role, k.Team, k.Person)
	if err != nil {
		return err
	}
	return m.roles.Forget(k)
}

// Close ends the cache.
func (m *Members) Close() error { return m.roles.Close() }
