-- name: GetAccount :one
SELECT id, owner, balance FROM accounts WHERE id = $1;

-- name: Deposit :exec
UPDATE accounts SET balance = balance + $1 WHERE id = $2;
