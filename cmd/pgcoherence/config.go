package main

import (
	"os"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
)

// setting is one thing that the environment or the command line says.
type setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"`
}

func (a *app) configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Show which database and settings this command line leads to",
		Args:  args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			dsn, from := a.address()
			config, err := pgxpool.ParseConfig(dsn)
			if err != nil {
				return err
			}

			all := []setting{
				{"address", maskDSN(dsn), from},
				{"host", config.ConnConfig.Host, ""},
				{"port", itoa(int(config.ConnConfig.Port)), ""},
				{"database", config.ConnConfig.Database, ""},
				{"user", config.ConnConfig.User, ""},
				{"tls", map[bool]string{true: "yes", false: "no"}[config.ConnConfig.TLSConfig != nil], ""},
				{"schema", a.schema, schemaFrom()},
			}
			if a.json {
				return a.printJSON(all)
			}
			var rows [][]string
			for _, s := range all {
				rows = append(rows, []string{s.Name, printable(s.Value), s.From})
			}
			return a.table("SETTING\tVALUE\tFROM", rows)
		},
	}
}

func schemaFrom() string {
	if os.Getenv(envSchema) != "" {
		return envSchema + " or --schema"
	}
	return "default or --schema"
}
