// Package monitoring is what to watch an application with: a Prometheus configuration, alerts with their tests, a Grafana
// dashboard, a runbook with an entry for each alert, and a table of all metrics. Its tests hold them against the metrics
// that the library really exports, so that a renamed metric cannot leave a silent alert behind.
package monitoring
