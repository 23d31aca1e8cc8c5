// Command go-tuf-client refreshes a TUF repository with go-tuf and downloads targets from it, so that
// tests can see what another implementation makes of what ours wrote.
//
//	go-tuf-client -root root.json -metadata DIR|URL [-targets DIR|URL] [-state DIR] [-time RFC3339] [NAME...]
//
// It prints one JSON object: the versions of the top-level roles and, for each NAME, its length and
// SHA-256 as downloaded. Where something is refused, the reason goes to stderr and the status is 1.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

type target struct {
	Length int64  `json:"length"`
	SHA256 string `json:"sha256"`
}

type report struct {
	Versions map[string]int64  `json:"versions"`
	Targets  map[string]target `json:"targets"`
}

// directory answers file: addresses, and leaves the others to the fetcher that it wraps.
type directory struct{ http fetcher.Fetcher }

func (d directory) DownloadFile(address string, maxLength int64, timeout time.Duration) ([]byte, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if parsed.Scheme != "file" {
		return d.http.DownloadFile(address, maxLength, timeout)
	}
	file, err := os.Open(parsed.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: 404, URL: address}
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxLength+1))
	if err == nil && int64(len(data)) > maxLength {
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: fmt.Sprintf("%s is longer than %d bytes", address, maxLength)}
	}
	return data, err
}

// address makes a directory into a file: address.
func address(place string) (string, error) {
	if place == "" || strings.Contains(place, "://") {
		return place, nil
	}
	absolute, err := filepath.Abs(place)
	return "file://" + absolute, err
}

func run() error {
	rootFile := flag.String("root", "", "trusted root metadata")
	metadataPlace := flag.String("metadata", "", "directory or URL of the metadata")
	targetsPlace := flag.String("targets", "", "directory or URL of the targets; METADATA/targets by default")
	state := flag.String("state", "", "directory that keeps trusted metadata between runs")
	now := flag.String("time", "", "the time to judge by")
	flag.Parse()

	root, err := os.ReadFile(*rootFile)
	if err != nil {
		return err
	}
	metadataURL, err := address(*metadataPlace)
	if err != nil {
		return err
	}
	targetsURL, err := address(*targetsPlace)
	if err != nil {
		return err
	}
	cfg, err := config.New(metadataURL, root)
	if err != nil {
		return err
	}
	cfg.Fetcher = directory{http: cfg.Fetcher}
	cfg.DisableLocalCache = *state == ""
	cfg.LocalMetadataDir = *state
	cfg.LocalTargetsDir = filepath.Join(*state, "targets")
	if targetsURL != "" {
		cfg.RemoteTargetsURL = targetsURL
	}
	client, err := updater.New(cfg)
	if err != nil {
		return err
	}
	if *now != "" {
		at, err := time.Parse(time.RFC3339, *now)
		if err != nil {
			return err
		}
		client.UnsafeSetRefTime(at)
	}
	if err := client.Refresh(); err != nil {
		return err
	}

	trusted := client.GetTrustedMetadataSet()
	found := report{
		Versions: map[string]int64{
			"root":      trusted.Root.Signed.Version,
			"timestamp": trusted.Timestamp.Signed.Version,
			"snapshot":  trusted.Snapshot.Signed.Version,
			"targets":   trusted.Targets[metadata.TARGETS].Signed.Version,
		},
		Targets: map[string]target{},
	}
	for _, name := range flag.Args() {
		info, err := client.GetTargetInfo(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		_, data, err := client.DownloadTarget(info, "", "")
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		sum := sha256.Sum256(data)
		found.Targets[name] = target{Length: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
