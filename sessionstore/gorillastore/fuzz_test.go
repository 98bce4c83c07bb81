package gorillastore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore/gorillastore"
)

func FuzzDecodeRow(f *testing.F) {
	f.Add([]byte{5, 'v', 'i', 's', 'i', 't', 1, 3, 1, 'a', 4, 2})
	f.Add([]byte{1, 'v', 1, 16, 1, 'a', 4, 2}) // a key that no map takes
	f.Add([]byte{})

	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := gorillastore.DecodeRow(gorillastore.RowVersion, b)
		if err != nil {
			return
		}

		_, err = d.Values()
		require.NoError(t, err)

		again, err := gorillastore.EncodeRow(d)
		if d.Name() == "" {
			require.Error(t, err)
			return
		}

		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}
