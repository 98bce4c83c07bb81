package databasesql

import "context"

// Account is a row of the table accounts.
type Account struct {
	ID      int64 `bun:",pk"`
	Owner   string
	Balance int64
}

// Repository is what the application does with accounts. Each file of this package implements it in another way.
type Repository interface {
	// Account reads one account, from the cache.
	Account(ctx context.Context, id int64) (Account, error)
	// Deposit adds to an account. When it returns nil, this process serves the new balance, and the others do so soon after.
	Deposit(ctx context.Context, id, amount int64) error
	// Close closes the cache.
	Close() error
}

// Schema creates the tables of the examples.
const Schema = `
CREATE TABLE accounts (id bigint PRIMARY KEY, owner text NOT NULL, balance bigint NOT NULL);
CREATE TABLE members (team text, person text, role text NOT NULL, PRIMARY KEY (team, person));
INSERT INTO accounts VALUES (1, 'ann', 10), (2, 'bob', 20);
INSERT INTO members VALUES ('blue', 'ann', 'owner'), ('a,b', 'bob', 'guest');
`
