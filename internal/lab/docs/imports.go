//go:build snippets

package docs

// The packages that Go blocks on pages import and this module does not need itself, so that go.mod lists them.
import (
	_ "github.com/alexedwards/scs/v2"
	_ "github.com/gorilla/sessions"
	_ "github.com/jackc/pgx/v5/stdlib"

	_ "github.com/pgcoherence/pgcoherence/cache/cachetest"
	_ "github.com/pgcoherence/pgcoherence/cache/redistier"
	_ "github.com/pgcoherence/pgcoherence/lock"
	_ "github.com/pgcoherence/pgcoherence/sessionstore"
	_ "github.com/pgcoherence/pgcoherence/sessionstore/gorillastore"
	_ "github.com/pgcoherence/pgcoherence/sessionstore/httpsession"
	_ "github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
	_ "github.com/pgcoherence/pgcoherence/sessionstore/sessionimport"
	_ "github.com/pgcoherence/pgcoherence/status"
)
