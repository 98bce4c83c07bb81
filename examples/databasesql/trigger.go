package databasesql

import (
	"context"
	"database/sql"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// MemberKey is the key of the table members. It has two columns.
type MemberKey struct{ Team, Person string }

// Members is a cache of a table that other programs write to, in any language. Triggers name the keys.
type Members struct {
	db    *sql.DB
	roles *cache.Cache[MemberKey, string]
}

// NewMembers installs triggers on the table and returns a cache in front of it. If the triggers exist already, it only
// checks them. KeyString writes a key as the triggers do: the columns in the order of Watch.Key.
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

// parseMemberKey is the inverse of KeyString. With it the cache need not store the text of each key.
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

// SetRole writes to the table without the bus, as other programs do. The triggers' event arrives with the next sweep, in
// this process as in all others. Forget drops the key here at once, so that the writer reads its own write.
func (m *Members) SetRole(ctx context.Context, k MemberKey, role string) error {
	_, err := m.db.ExecContext(ctx, "UPDATE members SET role = $1 WHERE team = $2 AND person = $3", role, k.Team, k.Person)
	if err != nil {
		return err
	}
	return m.roles.Forget(k)
}

// Close closes the cache.
func (m *Members) Close() error { return m.roles.Close() }
