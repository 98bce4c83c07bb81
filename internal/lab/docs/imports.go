//go:build snippets

package docs

// What blocks of Go on pages import beside what this module needs itself, so that go.mod lists it.
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
