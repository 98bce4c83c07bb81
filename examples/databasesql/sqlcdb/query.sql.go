package sqlcdb

import "context"

const getAccount = `-- name: GetAccount :one
SELECT id, owner, balance FROM accounts WHERE id = $1
`

// GetAccount reads one account.
func (q *Queries) GetAccount(ctx context.Context, id int64) (Account, error) {
	row := q.db.QueryRowContext(ctx, getAccount, id)
	var i Account
	err := row.Scan(&i.ID, &i.Owner, &i.Balance)
	return i, err
}

const deposit = `-- name: Deposit :exec
UPDATE accounts SET balance = balance + $1 WHERE id = $2
`

// DepositParams are the parameters of Deposit.
type DepositParams struct {
	Balance int64
	ID      int64
}

// Deposit adds to an account.
func (q *Queries) Deposit(ctx context.Context, arg DepositParams) error {
	_, err := q.db.ExecContext(ctx, deposit, arg.Balance, arg.ID)
	return err
}
