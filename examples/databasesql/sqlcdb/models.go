package sqlcdb

// Account is a row of the table accounts.
type Account struct {
	ID      int64
	Owner   string
	Balance int64
}
