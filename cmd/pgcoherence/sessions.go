package main

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

type sessions = sessionstore.Store[[]byte]

func (a *app) sessionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "List and end login sessions",
		Long:  "List and end login sessions. Tokens and data of sessions are never shown: this program cannot know them.",
	}
	cmd.AddCommand(a.sessionsList(), a.sessionsShow(), a.sessionsRevoke(), a.sessionsRevokeUser(), a.sessionsRevokeAll(), a.sessionsForgetUser())
	return cmd
}

// withSessions runs f with a session store that reads and revokes; what the data is does not matter for that.
func (a *app) withSessions(cmd *cobra.Command, f func(context.Context, *sessions) error) error {
	ctx, cancel := a.bounded(cmd)
	defer cancel()
	return a.withBus(ctx, func(pool *pgxpool.Pool, b *bus.Postgres) error {
		store, err := sessionstore.New(b, pool, &sessionstore.Config[[]byte]{
			Schema: a.schema, Codec: sessionstore.Bytes(), Logger: a.logger(),
		})
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
		return f(sessionstore.WithActor(ctx, ownerName()), store)
	})
}

func (a *app) sessionsList() *cobra.Command {
	return &cobra.Command{
		Use:   "list USER",
		Short: "List the sessions of a user",
		Args:  args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.withSessions(cmd, func(ctx context.Context, s *sessions) error {
				all, err := s.List(ctx, given[0])
				if err != nil {
					return err
				}
				return a.printSessions(all)
			})
		},
	}
}

func (a *app) sessionsShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show USER ID",
		Short: "Show one session",
		Args:  args(2, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			id, err := uuid.Parse(given[1])
			if err != nil {
				return usageError("sessions show: %q is no id", given[1])
			}

			return a.withSessions(cmd, func(ctx context.Context, s *sessions) error {
				all, err := s.List(ctx, given[0])
				if err != nil {
					return err
				}

				for _, info := range all {
					if info.ID == id {
						if a.json {
							return a.printJSON(info)
						}
						return a.printSessions([]sessionstore.Info{info})
					}
				}

				return exitCode{exitFailed, "the user has no such session"}
			})
		},
	}
}

func (a *app) printSessions(all []sessionstore.Info) error {
	if a.json {
		if all == nil {
			all = []sessionstore.Info{}
		}
		return a.printJSON(all)
	}

	if len(all) == 0 {
		a.printf("no sessions\n")
		return nil
	}

	ago := func(t time.Time) string { return span(time.Since(t)) + " ago" }
	var rows [][]string
	for _, s := range all {
		rows = append(rows, []string{
			s.ID.String(), ago(s.CreatedAt), ago(s.LastSeen), "in " + span(time.Until(s.ExpiresAt)), printable(cmp.Or(s.Device.Label, s.Device.UserAgent)), printable(cmp.Or(s.LastAddress, s.Device.IP)),
		})
	}

	return a.table("ID\tCREATED\tLAST SEEN\tENDS\tDEVICE\tADDRESS", rows)
}

func (a *app) sessionsRevoke() *cobra.Command {
	return a.revoking("revoke USER ID", "End one session on all pods", 2, func(given []string) string {
		return "End the session " + given[1] + " of " + given[0] + "?"
	}, func(ctx context.Context, s *sessions, given []string) (bus.Receipt, error) {
		id, err := uuid.Parse(given[1])
		if err != nil {
			return bus.Receipt{}, usageError("sessions revoke: %q is no id", given[1])
		}
		return s.RevokeByID(ctx, given[0], id)
	})
}

func (a *app) sessionsRevokeUser() *cobra.Command {
	return a.revoking("revoke-user USER", "End all sessions of a user on all pods", 1, func(given []string) string {
		return "End all sessions of " + given[0] + "?"
	}, func(ctx context.Context, s *sessions, given []string) (bus.Receipt, error) {
		return s.RevokeUser(ctx, given[0])
	})
}

func (a *app) sessionsRevokeAll() *cobra.Command {
	return a.revoking("revoke-all", "End all sessions of everybody, as after a breach", 0, func([]string) string {
		return "End all sessions of all users?"
	}, func(ctx context.Context, s *sessions, _ []string) (bus.Receipt, error) { return s.RevokeAll(ctx) })
}

func (a *app) sessionsForgetUser() *cobra.Command {
	return a.revoking("forget-user USER", "Delete what is stored of a user, and end the sessions", 1, func(given []string) string {
		return "Delete what is stored of " + given[0] + "?"
	}, func(ctx context.Context, s *sessions, given []string) (bus.Receipt, error) {
		return s.ForgetUser(ctx, given[0])
	})
}

func (a *app) revoking(
	use, short string, n int, question func([]string) string, revoke func(context.Context, *sessions, []string) (bus.Receipt, error),
) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  args(n, n),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := a.confirmed(cmd.Context(), question(given)); err != nil {
				return err
			}
			return a.withSessions(cmd, func(ctx context.Context, s *sessions) error {
				if _, err := revoke(ctx, s, given); err != nil {
					return err
				}
				if a.json {
					return a.printJSON(map[string]any{"done": true})
				}

				a.printf("done; the pods hear of it at once\n")
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&a.yes, "yes", false, "do not ask")
	return cmd
}
