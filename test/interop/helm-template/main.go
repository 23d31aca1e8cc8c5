// Renders a chart with Helm's own engine: helm-template CHART RELEASE NAMESPACE, with values as YAML on standard input. It
// prints the objects in the order in which Helm installs them, or with --uninstall deletes them. The function "lookup" asks the
// API server at HELM_API with the token HELM_TOKEN, if they are set. It is built in place of the
// helm command, which takes several times as long to compile. Custom resources are decoded strictly into the types of those
// who define them, because the API server of the tests does not know them.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	release "helm.sh/helm/v4/pkg/release/v1/util"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := render(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func render(args []string) error {
	order := release.InstallOrder
	if len(args) > 0 && args[0] == "--uninstall" {
		order, args = release.UninstallOrder, args[1:]
	}
	if len(args) != 3 {
		return errors.New("usage: helm-template [--uninstall] CHART RELEASE NAMESPACE <VALUES")
	}
	chart, err := loader.LoadDir(args[0])
	if err != nil {
		return err
	}
	given, err := loader.LoadValues(os.Stdin)
	if err != nil {
		return err
	}
	options := common.ReleaseOptions{Name: args[1], Namespace: args[2], Revision: 1, IsInstall: true}
	values, err := util.ToRenderValues(chart, given, options, nil)
	if err != nil {
		return err
	}
	renderer := engine.Engine{}
	if host := os.Getenv("HELM_API"); host != "" {
		renderer = engine.New(&rest.Config{
			Host:            host,
			BearerToken:     os.Getenv("HELM_TOKEN"),
			TLSClientConfig: rest.TLSClientConfig{Insecure: true},
		})
	}
	files, err := renderer.Render(chart, values)
	if err != nil {
		return err
	}
	for name := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			delete(files, name)
		}
	}
	_, manifests, err := release.SortManifests(files, nil, order)
	if err != nil {
		return err
	}
	for _, one := range manifests {
		if err := check(one); err != nil {
			return fmt.Errorf("%s: %w", one.Name, err)
		}
		fmt.Printf("---\n%s\n", one.Content)
	}
	return nil
}

// check decodes what is not a type of Kubernetes itself.
func check(manifest release.Manifest) error {
	types := map[string]any{
		"cert-manager.io/v1 Certificate":          &certmanager.Certificate{},
		"cert-manager.io/v1 Issuer":               &certmanager.Issuer{},
		"monitoring.coreos.com/v1 ServiceMonitor": &monitoring.ServiceMonitor{},
	}
	version, kind := manifest.Head.Version, manifest.Head.Kind
	group, _, hasGroup := strings.Cut(version, "/")
	object, isKnown := types[version+" "+kind]
	switch {
	case isKnown:
		return yaml.UnmarshalStrict([]byte(manifest.Content), object)
	case hasGroup && strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io"):
		return fmt.Errorf("the type %s %s is not known here", version, kind)
	}
	return nil
}
