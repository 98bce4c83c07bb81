package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// topic is the topic of the caches of accounts. The trigger in account.sql uses it, too.
const topic = "accounts"

// accountIDs lists all accounts.
var accountIDs = []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"}

// account is a row of the table.
type account struct {
	ID      string `json:"id"`
	Balance int64  `json:"balance"`
	Version int64  `json:"version"`
}

// reply is a pod's response to GET and POST of an account.
type reply struct {
	account
	Pod         string     `json:"pod"`
	Cached      bool       `json:"cached"`
	Fresh       bool       `json:"fresh"`
	State       string     `json:"state"`
	CommittedAt *time.Time `json:"committed_at,omitempty"` // when Commit returned, on the pod's clock
}

// querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func selectAccount(ctx context.Context, db querier, id string) (account, error) {
	a := account{ID: id}
	err := db.QueryRow(ctx, "SELECT balance, version FROM account WHERE id = $1", id).Scan(&a.Balance, &a.Version)
	return a, err
}

func updateAccount(ctx context.Context, db querier, id string, amount int64) (account, error) {
	a := account{ID: id}
	err := db.QueryRow(ctx, "UPDATE account SET balance = balance + $2 WHERE id = $1 RETURNING balance, version", id, amount).
		Scan(&a.Balance, &a.Version)
	return a, err
}
