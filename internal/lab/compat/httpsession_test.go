package compat_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/httpsession"
)

// preferences are the data of a session.
type preferences struct{ Theme string }

// app is an application whose handlers are net/http's.
type app struct {
	sessions *httpsession.Manager[preferences]
	store    *sessionstore.Store[preferences]
}

func (a *app) login(w http.ResponseWriter, r *http.Request) {
	login, err := a.store.BeginLogin(r.Context(), r.FormValue("user"))
	if err == nil {
		_, err = a.sessions.Login(w, r, login, preferences{"dark"}, nil)
	}
	if err != nil {
		a.sessions.Error(w, r, err)
	}
}

func (a *app) account(w http.ResponseWriter, r *http.Request) {
	session, err := a.sessions.Get(r)
	if err != nil {
		a.sessions.Error(w, r, err)
		return
	}
	_, _ = io.WriteString(w, session.User+" "+session.Data.Theme)
}

func (a *app) stream(w http.ResponseWriter, r *http.Request) {
	ctx, cancel, err := a.sessions.Bind(r)
	if err != nil {
		a.sessions.Error(w, r, err)
		return
	}
	defer cancel()
	_, _ = io.WriteString(w, "open\n")
	_ = http.NewResponseController(w).Flush()
	<-ctx.Done()
	_, _ = io.WriteString(w, context.Cause(ctx).Error())
}

// netHTTP returns the application without a framework.
func (a *app) netHTTP() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("GET /stream", a.stream)
	mux.Handle("GET /account", a.sessions.Require(http.HandlerFunc(a.account)))
	return a.sessions.Handler(mux)
}

// chi uses the middleware and the guards directly.
func (a *app) chi() http.Handler {
	router := chi.NewRouter()
	router.Use(a.sessions.Handler)
	router.Post("/login", a.login)
	router.Get("/stream", a.stream)
	router.With(a.sessions.Require).Get("/account", a.account)
	return router
}

// echo has wrappers for both.
func (a *app) echo() http.Handler {
	e := echo.New()
	e.Use(echo.WrapMiddleware(a.sessions.Handler))
	e.POST("/login", func(c echo.Context) error {
		a.login(c.Response(), c.Request())
		return nil
	})
	e.GET("/stream", echo.WrapHandler(http.HandlerFunc(a.stream)))

	e.GET("/account", func(c echo.Context) error {
		session, err := a.sessions.Get(c.Request())
		if err != nil {
			return echo.NewHTTPError(httpsession.Describe(err).Status, httpsession.Describe(err).Message)
		}
		return c.String(http.StatusOK, session.User+" "+session.Data.Theme)
	}, echo.WrapMiddleware(a.sessions.Require))

	return e
}

// wrapGin makes a middleware of net/http one of gin.
func wrapGin(middleware func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed, c.Request = true, r
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}

func (a *app) gin() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(wrapGin(a.sessions.Handler))
	engine.POST("/login", gin.WrapF(a.login))
	engine.GET("/stream", gin.WrapF(a.stream))

	engine.GET("/account", wrapGin(a.sessions.Require), func(c *gin.Context) {
		session, err := a.sessions.Get(c.Request)
		if err != nil {
			a.sessions.Error(c.Writer, c.Request, err)
			return
		}
		c.String(http.StatusOK, session.User+" "+session.Data.Theme)
	})

	return engine
}

// Every framework lets a login, a guard, a refused cross-origin request and a stream through unchanged.
func TestHTTPSessionInFrameworks(t *testing.T) {
	t.Parallel()
	quiet := slog.New(slog.DiscardHandler)
	db := pgtest.New(t, &pgtest.Template{Name: "compat-sessions", Make: func(ctx context.Context, dsn string) error {
		pool, err := pgxpool.New(ctx, dsn)
		if err != nil {
			return err
		}
		defer pool.Close()
		return sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Logger: quiet})
	}})
	store, err := sessionstore.New[preferences](bus.NewLocal(), db.Pool(t), &sessionstore.Config[preferences]{Logger: quiet, SweepInterval: -1})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, store.Close())
	})
	<-store.Ready()
	sessions, err := httpsession.New(store, &httpsession.Config{Logger: quiet})
	require.NoError(t, err)
	a := &app{sessions, store}

	for name, handler := range map[string]http.Handler{"net/http": a.netHTTP(), "chi": a.chi(), "echo": a.echo(), "gin": a.gin()} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			t.Cleanup(server.Close)
			var cookies []*http.Cookie
			type received struct {
				status  int
				cookies []*http.Cookie
				body    io.Reader
			}
			send := func(method, path, site string) received {
				r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, http.NoBody)
				require.NoError(t, err)
				for _, c := range cookies {
					r.AddCookie(c)
				}
				if site != "" {
					r.Header.Set("Sec-Fetch-Site", site)
				}
				response, err := server.Client().Do(r)
				require.NoError(t, err)
				t.Cleanup(func() { _ = response.Body.Close() })
				return received{response.StatusCode, response.Cookies(), response.Body}
			}

			require.Equal(t, http.StatusUnauthorized, send("GET", "/account", "").status)
			require.Equal(t, http.StatusForbidden, send("POST", "/login?user=ann", "cross-site").status)
			login := send("POST", "/login?user=ann", "same-origin")
			require.Equal(t, http.StatusOK, login.status)
			cookies = login.cookies
			require.Len(t, cookies, 1)
			require.True(t, strings.HasPrefix(cookies[0].Name, "__Host-session-"))

			account := send("GET", "/account", "")
			require.Equal(t, http.StatusOK, account.status)
			body, err := io.ReadAll(account.body)
			require.NoError(t, err)
			require.Equal(t, "ann dark", string(body))

			stream := send("GET", "/stream", "")
			line := make([]byte, 5)
			_, err = io.ReadFull(stream.body, line)
			require.NoError(t, err)
			require.Equal(t, "open\n", string(line), "flushed while the handler runs")
			_, err = store.RevokeUser(t.Context(), "ann")
			require.NoError(t, err)
			rest, err := io.ReadAll(stream.body)
			require.NoError(t, err)
			require.Equal(t, sessionstore.ErrRevoked.Error(), string(rest))
			require.Equal(t, http.StatusUnauthorized, send("GET", "/account", "").status)
		})
	}
}
