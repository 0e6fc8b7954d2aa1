-- Written by Boxyard; changes are overwritten.
local stays = { ["host"] = true, ["content-length"] = true, ["transfer-encoding"] = true }
core.register_action("drop_named_headers", { "http-req" }, function(txn)
  local connection = txn.http:req_get_headers()["connection"] or {}
  for _, line in pairs(connection) do
    for name in line:lower():gmatch("[^%s,]+") do
      if not stays[name] then
        txn.http:req_del_header(name)
      end
    end
  end
end)
