// Element Web opens with the browser's theme until somebody chooses one, and its configuration cannot say otherwise:
// without a choice of theirs, the one of this server counts (default_theme).
{
  const kept = JSON.parse(localStorage.getItem("mx_local_settings") ?? "{}");
  if (!("use_system_theme" in kept)) {
    localStorage.setItem("mx_local_settings", JSON.stringify({ ...kept, use_system_theme: false }));
  }
}
