package pgerr_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

func TestQuestions(t *testing.T) {
	t.Parallel()
	for name, question := range map[string]struct {
		is       func(error) bool
		yes, not []string
	}{
		"missing object":    {pgerr.IsMissingObject, []string{"42P01", "3F000", "42703", "42883"}, []string{"42501", "42P07"}},
		"missing table":     {pgerr.IsMissingTable, []string{"42P01", "3F000"}, []string{"42703"}},
		"denied":            {pgerr.IsDenied, []string{"42501"}, []string{"42P01"}},
		"refused login":     {pgerr.IsRefusedLogin, []string{"28P01", "28000", "3D000"}, []string{"42501"}},
		"permanent":         {pgerr.IsPermanent, []string{"28P01", "28000", "3D000", "42501"}, []string{"57P03"}},
		"read only":         {pgerr.IsReadOnly, []string{"25006"}, []string{"25001"}},
		"conflict":          {pgerr.IsConflict, []string{"40001", "40P01"}, []string{"40002"}},
		"rolled back":       {pgerr.IsRolledBack, []string{"40001", "40003", "40P01"}, []string{"25P02"}},
		"locked":            {pgerr.IsLocked, []string{"55P03"}, []string{"55006"}},
		"in use":            {pgerr.IsInUse, []string{"55006"}, []string{"55P03"}},
		"unknown statement": {pgerr.IsUnknownStatement, []string{"26000"}, []string{"0A000"}},
		"queue full":        {pgerr.IsQueueFull, []string{"54000"}, []string{"54001"}},
		"check violation":   {pgerr.IsCheckViolation, []string{"23514"}, []string{"23505"}},
		"null violation":    {pgerr.IsNullViolation, []string{"23502"}, []string{"23505"}},
		"internal":          {pgerr.IsInternal, []string{"XX000"}, []string{"XX001"}},
		"unavailable":       {pgerr.IsUnavailable, []string{"08006", "53300", "57P01", "58030", "XX000"}, []string{"40001", "23505", "X"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			for _, code := range question.yes {
				err := &pgconn.PgError{Code: code}
				require.True(t, question.is(err), code)
				require.True(t, question.is(fmt.Errorf("doing: %w", errors.Join(err, errors.New("and this")))), code)
			}

			for _, code := range question.not {
				require.False(t, question.is(&pgconn.PgError{Code: code}), code)
			}

			require.False(t, question.is(nil))
			require.False(t, question.is(errors.New("42501")))
		})
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	require.Equal(t, "26000", pgerr.Code(fmt.Errorf("x: %w", &pgconn.PgError{Code: "26000"})))
	require.Empty(t, pgerr.Code(errors.New("x")))
	require.Empty(t, pgerr.Code(nil))
	_, ok := pgerr.As(errors.New("x"))
	require.False(t, ok)
}
