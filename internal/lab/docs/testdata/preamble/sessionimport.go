package snippet

import (
	"context"

	"github.com/alexedwards/scs/v2"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/sessionstore/gorillastore"
	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/sessionimport"
)

var (
	pool         *pgxpool.Pool
	manager      *scs.SessionManager
	scsStore     *scsstore.Store
	gorillaStore *gorillastore.Store
	keys         [][]byte

	_ sessionimport.Result
)
