package ownconn

import (
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgproto3"
)

// statements bounds the cache of prepared statements. The library has fewer.
const statements = 128

// sanitise makes a copy of the configuration of the application's pool fit for a connection of the library. Whatever
// pgx can be configured with is named here, with what becomes of it; a test compares this with pgx.
//
// Kept, because it is the way to the server and the right to use it:
//
//   - Host, Port, TLSConfig, Fallbacks, SSLNegotiation, SSLCertMode, DialFunc, LookupFunc, AfterNetConnect: the network.
//     Each address becomes a configuration of its own, with its own share of the time.
//   - Database, User, Password, OAuthTokenProvider, KerberosSrvName, KerberosSpn, ChannelBinding, RequireAuth,
//     MinProtocolVersion, MaxProtocolVersion: the login.
//   - RuntimeParams: what a server or a proxy may need to find the database (options, role). Those of startup are ours,
//     and the settings of the session overwrite others later.
//   - DefaultQueryExecMode: what a pooler in between can do.
//   - pgxpool's BeforeConnect, which sets passwords that expire, and both AfterConnect, which may set the role. They are
//     called with a deadline, a panic is an error, and the settings that they make are overwritten.
//
// Replaced, because it has to be known:
//
//   - ConnectTimeout: the caller has a context.
//   - BuildContextWatcherHandler: the end of a context ends the statement at once. Others wait for the server to cancel.
//   - BuildFrontend, MaxProtocolMessageBodyLen: the application's limit is for the application's rows.
//   - OnPgError: a fatal error closes the connection.
//   - StatementCacheCapacity, DescriptionCacheCapacity: every statement of ours is kept.
//
// Dropped, because it is for the application's own statements:
//
//   - Tracer: an idle program would make spans for ever that belong to no request.
//   - OnNotice: nothing that our statements raise concerns the application.
//   - OnNotification: it would take the notifications away.
//   - ValidateConnect, which is what target_session_attrs becomes: the server has to be a primary.
//   - pgxpool's PrepareConn, BeforeAcquire, AfterRelease, BeforeClose, ShouldPing and all numbers: there is no pool.
func sanitise(config *pgx.ConnConfig, name string) {
	config.Tracer = nil
	config.OnNotice = nil
	config.OnNotification = nil
	config.ValidateConnect = nil

	config.ConnectTimeout = 0
	config.MaxProtocolMessageBodyLen = 0
	config.BuildFrontend = pgproto3.NewFrontend
	config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: conn.Conn()}
	}
	config.OnPgError = func(_ *pgconn.PgConn, err *pgconn.PgError) bool { return !strings.EqualFold(err.Severity, "FATAL") }
	config.StatementCacheCapacity, config.DescriptionCacheCapacity = statements, statements

	config.RuntimeParams = startup(config.RuntimeParams, name)
}

// startup returns the parameters that go along with the request for a connection. They are those that every pooler
// knows and sets for each client, so texts look the same through one; and the name, which would otherwise take a
// statement that is another one in each process.
func startup(params map[string]string, name string) map[string]string {
	ours := map[string]string{
		"application_name":            name,
		"client_encoding":             "UTF8",
		"datestyle":                   "ISO, MDY",
		"timezone":                    "UTC",
		"standard_conforming_strings": "on",
	}

	all := maps.Clone(params)
	if all == nil {
		all = make(map[string]string)
	}

	maps.DeleteFunc(all, func(key, _ string) bool {
		return ours[strings.ToLower(key)] != "" || strings.EqualFold(key, "application_name")
	})
	maps.Copy(all, ours)
	return all
}
