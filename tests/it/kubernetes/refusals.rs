//! Pods that cannot start: what the cluster refuses, and what is not there.

use super::*;

fn in_namespace(namespace: &Namespace) -> Vec<String> {
    vec!["--namespace".to_owned(), namespace.0.clone()]
}

fn run_in(project: &Project, namespace: &Namespace) -> Done {
    let more = in_namespace(namespace);
    run(project, &more.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn pod_security_is_named() {
    let project = project("  a: { steps: [{ run: 'true' }] }\n");
    let namespace = Namespace::new("psa", "\"pod-security.kubernetes.io/enforce\":\"restricted\"");
    let done = run_in(&project, &namespace).code(1).stdout("unschedulable").stdout("Pod Security level");
    done.stdout("say `restricted: { run-as: 1000 }` in the policy, the ConfigMap `tidegate-policy`");
    // As it was told to.
    let text = "--from-literal=policy.yaml=restricted: { run-as: 1000 }";
    kubectl(&["create", "configmap", "tidegate-policy", "-n", &namespace.0, text]);
    run_in(&project, &namespace).code(0);
}

#[test]
fn a_quota_is_waited_for() {
    let project = project("  a: { resources: { cpu: 1 }, steps: [{ run: 'echo ran' }] }\n");
    let namespace = Namespace::new("quota", "");
    namespace.quota("requests.cpu", "500m");
    let more = in_namespace(&namespace);
    let child = spawn(&project, &more.iter().map(String::as_str).collect::<Vec<_>>());
    wait("its Job has no pod", || {
        let said = kubectl(&["get", "events", "-n", &namespace.0, "--field-selector", "reason=FailedCreate"]);
        said.contains("exceeded quota").then_some(())
    });
    namespace.quota("requests.cpu", "4");
    project.done(child).code(0);
}

#[test]
fn a_policy_of_the_cluster_is_named() {
    let project = project("  a: { steps: [{ run: 'true' }] }\n");
    let namespace = Namespace::new("policy", "\"tidegate-test\":\"policy\"");
    let name = &namespace.0;
    apply(&format!(
        r#"{{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicy","metadata":{{"name":"{name}"}},
"spec":{{"failurePolicy":"Fail","matchConstraints":{{"resourceRules":[{{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["pods"]}}]}},
"validations":[{{"expression":"!('tidegate.dev/attempt' in object.metadata.?annotations.orValue({{}}))","message":"no training on Fridays"}}]}}}}"#
    ));
    apply(&format!(
        r#"{{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicyBinding","metadata":{{"name":"{name}"}},
"spec":{{"policyName":"{name}","validationActions":["Deny"],"matchResources":{{"namespaceSelector":{{"matchLabels":{{"kubernetes.io/metadata.name":"{name}"}}}}}}}}}}"#
    ));
    wait("the policy is in force", || {
        let program = std::env::var("TIDEGATE_KUBECTL").unwrap_or_else(|_| "kubectl".into());
        let pod = ["run", "probe", "-n", name, "--image", IMAGE, "--annotations", "tidegate.dev/attempt=x"];
        let mut words = program.split_whitespace();
        let mut asked = Command::new(words.next().unwrap());
        asked.args(words).args(pod).arg("--dry-run=server").env("KUBECONFIG", kubeconfig());
        let said = asked.stdin(Stdio::null()).output().unwrap().stderr;
        String::from_utf8_lossy(&said).contains("no training on Fridays").then_some(())
    });
    let done = run_in(&project, &namespace);
    kubectl(&["delete", "validatingadmissionpolicybindings", name]);
    kubectl(&["delete", "validatingadmissionpolicies", name]);
    done.code(1).stdout("unschedulable").stdout("no training on Fridays");
}

#[test]
fn a_program_for_another_machine() {
    let project = project("  a: { steps: [{ run: './other' }] }\n");
    // The head of a program for aarch64.
    project.sh("printf '\\177ELF\\002\\001\\001\\000\\000\\000\\000\\000\\000\\000\\000\\000\\002\\000\\267\\000' > other; head -c 200 /dev/zero >> other; chmod +x other; git add -A; git commit -qm x");
    // The image's shell takes it for a script.
    run(&project, &[]).code(1).stdout("failure: exit 127 in step `Run ./other`").stdout("not found");
}

#[test]
fn a_shell_that_the_image_does_not_have() {
    let project = project("  a: { steps: [{ shell: 'fish {0}', run: 'true' }] }\n");
    run(&project, &[]).code(1).stdout("failure: the shell `fish` is not installed (looked along PATH)");
}
